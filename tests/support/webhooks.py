"""A real HTTP server that keeps what it is told, and may first refuse or be silent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cret-channel"


class Receiver:
    """What arrived at a webhook.

    Attributes:
        url: The webhook's; its path is a secret.
        messages: What it took, decoded.
        contacts: How often it was asked, refusals included.
        answers: What it answers next, one a contact: a status, None to be silent, 0 for what is not HTTP. Then 200.
    """

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[dict[str, Any]] = []
        self.contacts = 0
        self.answers: list[int | None] = []


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listen on a free port of this machine."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.contacts += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = found.answers.pop(0) if found.answers else 200
            if answer is None:
                self.rfile.read(1)  # returns when the sender gives up
                return
            if answer == 0:
                self.wfile.write(b"garbage\r\n\r\n")
                return
            if answer == 200:
                assert (self.headers["Content-Type"], self.headers["User-Agent"]) == ("application/json", "stalesweep")
                assert self.path == f"/{SECRET}"
                found.messages.append(json.loads(body))
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)  # who follows a redirect takes this for success, and told nothing
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
