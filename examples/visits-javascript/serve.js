// Joins a handler that speaks the web's Request and Response to wasi:http. What the host lends is given back at once
// (`Symbol.dispose`): the instance answers many requests, and the garbage collector comes late.
import { Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.10';

// One write to a body takes at most this many bytes.
const PIECE_BYTES = 4096;

export function serve(handler) {
  return {
    async handle(incoming, responseOut) {
      await send(await answer(handler, incoming), responseOut);
    },
  };
}

async function answer(handler, incoming) {
  try {
    return await handler(requestOf(incoming));
  } catch (error) {
    console.error(error);
    return new Response('internal error\n', { status: 500 });
  } finally {
    incoming[Symbol.dispose]();
  }
}

function requestOf(incoming) {
  const { tag, val } = incoming.method();
  const method = tag === 'other' ? val : tag.toUpperCase();
  const fields = incoming.headers();
  const decoder = new TextDecoder();
  const headers = fields.entries().map(([name, value]) => [name, decoder.decode(value)]);
  fields[Symbol.dispose]();
  const url = `http://${incoming.authority() ?? 'localhost'}${incoming.pathWithQuery() ?? '/'}`;
  const body = method === 'GET' || method === 'HEAD' ? undefined : bodyOf(incoming);
  return new Request(url, { method, headers, body });
}

function bodyOf(incoming) {
  const body = incoming.consume();
  const stream = body.stream();
  const pieces = [];
  for (let piece = read(stream); piece; piece = read(stream)) pieces.push(piece);
  stream[Symbol.dispose]();
  IncomingBody.finish(body)[Symbol.dispose]();
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function read(stream) {
  try {
    return stream.blockingRead(65536n);
  } catch (error) {
    if (error.payload?.tag === 'closed') return undefined;
    throw error;
  }
}

async function send(response, responseOut) {
  const encoder = new TextEncoder();
  const headers = [...response.headers].map(([name, value]) => [name, encoder.encode(value)]);
  const outgoing = new OutgoingResponse(Fields.fromList(headers));
  outgoing.setStatusCode(response.status);
  const body = outgoing.body();
  // The head of the answer leaves here; what is written below is streamed to the caller.
  ResponseOutparam.set(responseOut, { tag: 'ok', val: outgoing });
  const stream = body.write();
  const reader = response.body?.getReader();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader.read()) {
    for (let start = 0; start < chunk.value.length; start += PIECE_BYTES) {
      stream.blockingWriteAndFlush(chunk.value.subarray(start, start + PIECE_BYTES));
    }
  }
  stream[Symbol.dispose]();
  OutgoingBody.finish(body, undefined);
}
