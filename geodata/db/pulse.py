"""Does a silent server still answer? A line on which nothing comes says nothing of it: the server may be at work, or be gone with
everything that is sent to it (a firewall that drops, a cable, a frozen machine). TCP's own timers do not see what a proxy in between
takes. So while a statement stays silent the server is asked beside it, and it is given up when it does not answer there either.

    connection = Listening.connect(..., pulse=Pulse(2.0))
"""

from __future__ import annotations

import socket
import struct
import threading
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen

RV = TypeVar("RV")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What every PostgreSQL server answers with one byte, before it knows who asks."""


class ServerSilent(psycopg.OperationalError):
    """It took what was sent and says nothing, on this line and on a fresh one."""


class Pulse:
    """Whether a server answers: one question at a time, for all who wait. `silence` seconds, until it is given up."""

    def __init__(self, silence: float) -> None:
        self.quiet = silence / 2
        """Of a line, before the server is asked; and of the server, before it is taken for gone."""
        self._turn, self._asked, self._beats, self._at = threading.Lock(), -self.quiet, True, ("", 0)

    def beats(self, host: str, port: int) -> bool:
        """Ask it; who waited for the answer of another takes that."""
        with self._turn:
            if (host, port) != self._at or monotonic() - self._asked > self.quiet:
                self._beats, self._at = _answers(host, port, self.quiet), (host, port)
                self._asked = monotonic()
            return self._beats

    def stopped(self) -> bool:
        """It was gone when it was last asked, and is still."""
        return not (self._beats or self.beats(*self._at))


class Listening(psycopg.Connection[Any]):
    """A connection that waits for as long as its server is there. Raises ServerSilent, and is closed then."""

    pulse: Pulse

    @classmethod
    def listening(cls, pulse: Pulse, *words: Any, **named: Any) -> Self:
        """As `connect`. Not tried while the one server there is stays silent."""
        if pulse.stopped() and "," not in str(named.get("host", "")):
            raise ServerSilent("the server does not answer")
        made = cls.connect(*words, **named)
        made.pulse = pulse
        return made

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """psycopg waits for every answer here."""
        return super().wait(self._heard(gen), interval=interval, timeout=timeout)

    def _heard(self, gen: PQGen[RV]) -> PQGen[RV]:
        """The same generator; when its turns come without anything to read or write, the server is asked."""
        last = monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    last = monotonic()
                elif monotonic() - last > self.pulse.quiet:
                    self._ask()
                    last = monotonic()
                wanted = gen.send(ready)
        except StopIteration as done:
            found: RV = done.value
            return found

    def _ask(self) -> None:
        at = self.pgconn
        host = at.hostaddr or at.host
        if not self.pulse.beats(host.decode(), int(at.port)):
            at.finish()
            raise ServerSilent(f"the server does not answer: nothing came for {2 * self.pulse.quiet:g} s, on this line and a fresh one")


def _answers(host: str, port: int, within_s: float) -> bool:
    """Whether anything comes back. Where nobody listens, the one we were talking to is gone too."""
    until = monotonic() + within_s
    try:
        with _connected(host, port, within_s) as line:
            line.settimeout(max(0.01, until - monotonic()))
            line.sendall(SSL_REQUEST)
            return line.recv(1) != b""
    except OSError:
        return False


def _connected(host: str, port: int, within_s: float) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), within_s)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(within_s)
    line.connect(f"{host}/.s.PGSQL.{port}")
    return line
