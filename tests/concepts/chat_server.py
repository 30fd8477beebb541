"""A local endpoint that speaks as much of OpenAI's protocol as the client asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], "tuple[int, Any]"]


@dataclass
class Endpoint:
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)  # bodies, in their order
    headers: list[dict[str, str]] = field(default_factory=list)

    def prompts(self) -> list[str]:
        return [each["messages"][0]["content"] for each in self.asked]


def completion(text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return {**head, "choices": [choice]}


@contextmanager
def serve(reply: Reply) -> Iterator[Endpoint]:
    """Serves ``POST /v1/chat/completions`` on 127.0.0.1: ``reply`` makes status and body."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.asked.append(body)
            endpoint.headers.append({k.lower(): v for k, v in self.headers.items()})
            is_known = self.path == "/v1/chat/completions"
            status, found = reply(body) if is_known else (404, {"error": {"message": "no"}})
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
