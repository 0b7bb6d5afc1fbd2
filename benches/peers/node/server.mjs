// Node's own server: http, or http2 with `node server.mjs http2` (cleartext, prior knowledge). Prints where it listens.
import http from 'node:http';
import http2 from 'node:http2';
import { priced } from '../order.mjs';

const text = { 'content-type': 'text/plain; charset=utf-8' };

async function serve(request, response) {
  const path = request.url.split('?')[0];
  if (path === '/echo') {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    request.pipe(response);
  } else if (path === '/json') {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const answer = Buffer.from(JSON.stringify(priced(JSON.parse(Buffer.concat(pieces)))));
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
    response.end(answer);
  } else {
    const answer = `hello from ${path}\n`;
    response.writeHead(200, { ...text, 'content-length': Buffer.byteLength(answer) });
    response.end(answer);
  }
}

const server = process.argv[2] === 'http2' ? http2.createServer(serve) : http.createServer(serve);
server.listen(0, '127.0.0.1', () => console.log(`listening  http://127.0.0.1:${server.address().port}`));
