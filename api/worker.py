"""Who does what is to be done later: a thread that looks for jobs, in a process of its own or within the service.

On PostgreSQL any number of workers share the jobs (`jieguan worker`). An embedded database belongs to the process that serves it, so
the work is done in there: `Turn` is a lock beside the file, held by whoever works, free as soon as that process dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.usecases import statistics, work
from api.usecases.office import Office
from api.usecases.work import KINDS, Counts, Kind
from geodata.db.engine import parse_url
from routing.errors import JieguanError

POLL_S = 1.0
"""How long nobody looks whether there is something to do."""
STOP_S = 30.0
SWEEP, SETTLE = timedelta(hours=1), timedelta(minutes=5)
"""How often old jobs are forgotten, and changes of figures added up."""
log = logging.getLogger("jieguan")


class WorkedElsewhere(JieguanError):
    zh = (
        "嵌入式数据库“{path}”正由另一个进程使用并处理任务(通常是 jieguan serve):到期提醒由它发出,不需要另开 worker。"
        "若要单独运行 worker,请改用 PostgreSQL,或先停止服务。"
    )
    en = (
        "The embedded database {path!r} is in use by another process that does its jobs (jieguan serve, as a rule): reminders are sent "
        "from there, and no other worker is needed. For a worker of its own take PostgreSQL, or stop the service first."
    )


class Turn:
    """The right to do the jobs of an embedded database; on a server's, everybody has it."""

    def __init__(self, database: str) -> None:
        url = parse_url(database)
        self.path = Path(f"{url.database}.worker") if url.drivername == "gpkg" else None
        self._file: int | None = None

    def mine(self) -> bool:
        """Take it if it is free. The kernel frees it with the process."""
        if self.path is None or self._file is not None:
            return True
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def require(self) -> None:
        """Raises WorkedElsewhere."""
        if not self.mine():
            assert self.path is not None
            raise WorkedElsewhere(path=str(self.path).removesuffix(".worker"))

    def give_back(self) -> None:
        """Another may."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Worker:
    """Looks for jobs until it is closed; a job at hand is finished first."""

    def __init__(self, of: Office, turn: Turn, kinds: Mapping[str, Kind] = KINDS, poll_s: float = POLL_S) -> None:
        self._of, self._turn, self._kinds, self._poll_s = of, turn, kinds, poll_s
        self.name, self.counts = work.myself(), Counts()
        self._stop = threading.Event()
        self._swept: datetime | None = None
        self._settled: datetime | None = None
        self._thread = threading.Thread(target=self.run, name="jieguan-worker", daemon=True)

    def start(self) -> None:
        """In a thread of its own."""
        self._thread.start()

    def run(self) -> None:
        """Until it is closed. A database that is away for a while is waited for."""
        wait = self._poll_s
        while not self._stop.wait(wait):
            wait = self._poll_s
            try:
                if self._turn.mine():
                    self._look()
            except (OperationalError, PoolTimeout, JieguanError) as error:
                log.warning("the worker waits for the database: %s", type(error).__name__)
                wait = 5 * self._poll_s
            except Exception:
                log.exception("the worker goes on after a fault of ours")
                wait = 5 * self._poll_s

    def close(self) -> None:
        """No further job is begun."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                log.warning("a job has not ended within %g s and is left behind; another worker will take it", STOP_S)
        self._turn.give_back()

    def _look(self) -> None:
        counts = work.once(self._of, self.name, self._kinds, lambda: not self._stop.is_set())
        self.counts = Counts(**{name: getattr(self.counts, name) + getattr(counts, name) for name in Counts.__slots__})
        now = self._of.now()
        if self._swept is None or now - self._swept > SWEEP:
            work.forget(self._of.db, now)
            self._swept = now
        if self._settled is None or now - self._settled > SETTLE:
            statistics.settle(self._of)
            self._settled = now
