"""A local HTTP server with the layout of the datasets' homes, which misbehaves when told to."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HARTH = "/static/public/779/harth.zip"


class Home:
    """Files by path, faults by path (one is used up at each GET), and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str, str]] = []  # method, path, Range
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def publish(self, base: str, files: dict[str, bytes]) -> None:
        """Files in a folder with the list of sums that PhysioNet keeps."""
        self.files |= {f"{base}/{name}": content for name, content in files.items()}
        sums = "".join(f"{hashlib.sha256(c).hexdigest()} {name}\n" for name, c in files.items())
        self.files[f"{base}/SHA256SUMS.txt"] = sums.encode()

    def gets(self, end: str = "") -> list[tuple[str, str]]:
        return [(path, span) for method, path, span in self.asked if method == "GET" and path.endswith(end)]


@contextmanager
def serving() -> Iterator[Home]:
    home = Home()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(head=True)

        def do_GET(self) -> None:
            with home.lock:
                home.at_once += 1
                home.most_at_once = max(home.most_at_once, home.at_once)
            try:
                self.answer(head=False)
            finally:
                with home.lock:
                    home.at_once -= 1

        def answer(self, *, head: bool) -> None:
            span = self.headers.get("Range", "")
            home.asked.append((self.command, self.path, span))
            faults = home.faults.get(self.path, [])
            fault = "" if head or not faults else faults.pop(0)
            content = home.files.get(self.path)
            if content is None or fault == "404":
                return self.plain(404)
            if fault.startswith("503"):
                return self.plain(503, {"Retry-After": fault.removeprefix("503 ")})
            if fault == "redirect":
                return self.plain(302, {"Location": self.path})
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and fault != "no range" else 0
            if start >= len(content) > 0 and span:
                return self.plain(416, {"Content-Range": f"bytes */{len(content)}"})
            body = content[start:]
            if fault == "corrupt":
                body = bytes(b ^ 0xFF for b in body)
            self.send_response(206 if span and fault != "no range" else 200)
            if span and fault != "no range":
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if head:
                return None
            if fault == "meet":  # wait a moment for another to come
                until = time.monotonic() + 2
                while home.most_at_once < 2 and time.monotonic() < until:
                    time.sleep(0.01)
            if fault == "silent":
                self.connection.close()
                self.close_connection = True
                return None
            if fault == "cut":
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.connection.close()
                self.close_connection = True
                return None
            self.wfile.write(body)
            return None

        def plain(self, code: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a connection that was cut on purpose

    server = Quiet(("127.0.0.1", 0), Handler)
    home.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield home
    finally:
        server.shutdown()
        server.server_close()
