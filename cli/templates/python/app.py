from urllib.parse import urlsplit

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

# One write to a body takes at most this many bytes.
PIECE_BYTES = 4096


class IncomingHandler(exports.IncomingHandler):
    """Called once for every request."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = urlsplit(request.path_with_query() or "/").path
        respond(response_out, 200, f"hello from {path}\n")


def respond(response_out: ResponseOutparam, status: int, text: str) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
    response.set_status_code(status)
    body = response.body()
    # The head of the answer leaves here; what is written below is streamed to the caller.
    ResponseOutparam.set(response_out, Ok(response))
    data = text.encode()
    with body.write() as stream:
        for start in range(0, len(data), PIECE_BYTES):
            stream.blocking_write_and_flush(data[start : start + PIECE_BYTES])
    OutgoingBody.finish(body, None)
