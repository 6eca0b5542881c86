"""An orderly stop: first the service says it is not ready, then it takes no more, then it answers what it has taken.

    SIGTERM    /readyz answers 503 and every answer ends its connection, while all that comes is still answered (`drain_seconds`)
               no new connections; those made a moment ago say what they want and are answered
               requests at hand are finished; what takes longer than `FINISH_S` is cut off

A second signal leaves out the first of these. All of it takes less than ten seconds.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import FrameType

import uvicorn
from uvicorn.supervisors import multiprocess

from routing.errors import JieguanError

DRAINING = threading.Event()
"""This process has been told to stop."""
LAST_WORDS_S = 1.0
"""For connections that were made, and have not said what they want."""
FINISH_S = 5
"""For requests at hand."""


class Stopping(JieguanError):
    zh = "服务正在停止,不再接受新的请求;手头的请求会办完。请改用另一实例,或稍后重试。"
    en = "The service is stopping and is not for new requests; those at hand are finished. Ask another instance, or try again later."


class Draining(uvicorn.Server):
    """A server that stops in that order."""

    def __init__(self, config: uvicorn.Config, seconds: float) -> None:
        super().__init__(config)
        self.seconds, self.until = seconds, float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if DRAINING.is_set() or not self.started:
            super().handle_exit(sig, frame)
            return
        DRAINING.set()
        self._captured_signals.append(sig)
        self.until = time.monotonic() + self.seconds

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self.should_exit or time.monotonic() >= self.until
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        last = time.monotonic() + LAST_WORDS_S
        while self.server_state.connections and time.monotonic() < last and not self.force_exit:  # noqa: ASYNC110 - uvicorn tells of no event
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


class OneOfSeveral(multiprocess.Process):
    """One of several processes, that stops in that order."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            from api.settings import of_environment  # noqa: PLC0415  (in the worker, which is told by the environment)

            self._server = Draining(self.config, of_environment().drain_seconds)
        return self._server


def of_several() -> None:
    """The supervisor makes its workers by this name, and offers no other way to say of what kind."""
    multiprocess.Process = OneOfSeveral  # type: ignore[misc]
