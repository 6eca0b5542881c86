"""A line to the database server that can become a black hole: it takes everything, and nothing comes out, nor is anybody told."""

from __future__ import annotations

import socket
import threading
from typing import Self

from sqlalchemy import make_url


class Hole:
    """Between a client and the server of `url`. While it is shut, what was sent is kept and arrives late, as TCP would have it."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        folder, port = parsed.query.get("host"), parsed.port or 5432
        self._to = parsed.host and (parsed.host, port), f"{folder}/.s.PGSQL.{port}"
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._open = threading.Event()
        self._open.set()
        threading.Thread(target=self._accept, daemon=True).start()
        here = parsed.set(host="127.0.0.1", port=self._listening.getsockname()[1]).difference_update_query(["host"])
        self.url = here.render_as_string(hide_password=False)

    def shut(self) -> None:
        """From now on nothing gets through."""
        self._open.clear()

    def open(self) -> None:
        """As if nothing had been."""
        self._open.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(line,), daemon=True).start()

    def _carry(self, line: socket.socket) -> None:
        tcp, path = self._to
        self._open.wait()
        server = socket.create_connection(tcp) if tcp else socket.socket(socket.AF_UNIX)
        with line, server:
            if not tcp:
                server.connect(path)
            back = threading.Thread(target=self._forward, args=(server, line), daemon=True)
            back.start()
            self._forward(line, server)
            back.join()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while piece := one.recv(65536):
                self._open.wait()
                other.sendall(piece)
            self._open.wait()
            other.shutdown(socket.SHUT_WR)
        except OSError:  # one of them has gone
            return
