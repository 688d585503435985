"""The server of the page: for this machine alone, and for those who know the token in the address."""

import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from vosbench.annotating.page import PAGE, POLICY
from vosbench.annotating.sheet import Sheet
from vosbench.util.errors import UserError, one_line

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost")  # with any port: through an SSH tunnel it is another
BOX = 1000  # bytes that the text of a box may have
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
JSON, PNG, BYTES = "application/json", "image/png", "application/octet-stream"


class Server(ThreadingHTTPServer):
    """Shows the page of a sheet until it is done. `port`: 0 for one that is free.

    It has threads because browsers open connections ahead of time, and one thread would wait for these. Raises
    UserError for a port that cannot be had.
    """

    daemon_threads = True  # an interrupt does not wait for GrabCut

    def __init__(self, sheet: Sheet, port: int) -> None:
        self.sheet, self.token = sheet, secrets.token_urlsafe(16)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            remedy = "choose another, or port=0 for one that is free"
            raise UserError(f"port={port} cannot be used: {error.strerror}; {remedy}") from error

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):  # a browser that was closed
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request. Without the token there is nothing to be found, nor for pages of other hosts."""

    server: Server
    timeout = 60  # seconds to wait for a client that does not send

    def do_GET(self) -> None:
        sheet = self.server.sheet
        match self._place():
            case "":
                self._answer(PAGE, HTML)
            case "facts":
                self._answer(sheet.facts, JSON)
            case "frame":
                self._answer(sheet.picture, PNG)
            case "mask":
                self._answer(sheet.labels.tobytes(), BYTES)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "not found")

    def do_POST(self) -> None:
        sheet, place = self.server.sheet, self._place()
        takers = {"box": sheet.in_box, "refine": sheet.refine, "mask": sheet.save}
        if place == "done":
            self._answer(b"", TEXT)
            self.server.shutdown()
        elif place not in takers:
            self._refuse(HTTPStatus.NOT_FOUND, "not found")
        elif (content := self._content(BOX if place == "box" else sheet.pixels)) is not None:
            try:
                answer = takers[place](content)
            except (UserError, OSError) as error:
                self._refuse(HTTPStatus.BAD_REQUEST, one_line(error).removeprefix("mask: "))
            else:
                self._answer(answer, BYTES)

    def _place(self) -> str | None:
        """What is asked for, after the token; None without the token, and for another host: a foreign page may have its
        own name lead here, and so read what it is not meant to."""
        _, token, *rest = [*urlsplit(self.path).path.split("/", 2), ""]
        known = secrets.compare_digest(token.encode(errors="replace"), self.server.token.encode())
        host = self.headers.get("Host", "").partition(":")[0]
        return rest[0] if known and host in HOSTS and len(rest) == 2 else None

    def _content(self, most: int) -> bytes | None:
        """The body of the request; None if its size is unknown or more than `most` bytes, which is answered."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "say how many bytes there are")
        elif len(length) > 12 or int(length) > most:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{most} bytes are the most")
        else:
            return self.rfile.read(int(length))
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(why.encode(errors="replace"), TEXT, status)

    def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        return "vosbench"

    def log_message(self, format: str, *arguments: Any) -> None:
        """The terminal shows what the command says, not every request."""
