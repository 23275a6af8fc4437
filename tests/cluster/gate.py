"""A proxy before a server: while open it forwards everything; while closed it refuses, like a dead server."""

import contextlib
import socket
import threading


class Gate:
    """Forwards connections on `port` of this machine to `target`."""

    def __init__(self, target: int) -> None:
        self._target, self._open = target, True
        self._server = socket.create_server(("127.0.0.1", 0))
        self._connections: set[socket.socket] = set()
        self.port: int = self._server.getsockname()[1]
        self.refused = 0

    def __enter__(self) -> "Gate":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self._server.close()

    def open(self) -> None:
        self._open = True

    def shut(self) -> None:
        """Refuse from now on, connections that are open included."""
        self._open = False
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if not self._open:
                    self.refused += 1
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                for source, sink in ((client, server), (server, client)):
                    self._connections.add(source)
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        self._connections.discard(source)
