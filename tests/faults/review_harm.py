"""Faults of the processes of a review: the service, PostgreSQL, and Label Studio where it is the real one."""

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from injectors import hold, kill
from postgres_server import PostgresServer
from record import Segment
from review_parts import ServiceProcess
from studios import Studio

PROCESSES = 0.5  # the share of a review's faults that processes take


class ReviewHarm:
    """Hurts the service, its database and its Label Studio while something else is done.

    `left`: whether more faults are wanted. `stop_s`: how long stopped processes stay so; None: up to 2 s.
    """

    def __init__(
        self,
        service: ServiceProcess,
        postgres: PostgresServer,
        studio: Studio,
        segment: Segment,
        chance: random.Random,
        most: int,
        stop_s: float | None,
    ) -> None:
        self._service, self._postgres, self._segment = service, postgres, segment
        self._chance, self._most, self._stop_s = chance, most, stop_s
        self._over, self._num_hurt = threading.Event(), 0
        self._kinds: dict[str, Callable[[], bool]] = {
            "service killed": lambda: self._hurt_service(kill),
            "service stopped": lambda: self._hurt_service(lambda process: hold(process, self._seconds())),
            "PostgreSQL killed": self._kill_postgres,
            "PostgreSQL stopped": self._hold_postgres,
            **studio.harms(self._seconds),
        }

    def during(self, work: Callable[[], Any]) -> Any:
        """Do the work, and harm beside it."""
        self._service.start()
        self._over.clear()
        harm = threading.Thread(target=self._go_on)
        harm.start()
        try:
            return work()
        finally:
            self._over.set()
            harm.join()

    def _go_on(self) -> None:
        while not self._over.wait(self._chance.uniform(0.3, 4.0)):
            if self._num_hurt >= self._most:
                return
            kind = self._chance.choice(list(self._kinds))
            if self._kinds[kind]():
                self._num_hurt += 1
                self._segment.injected[kind] += 1

    def _seconds(self) -> float:
        return self._stop_s or self._chance.uniform(0.2, 2.0)

    def _hurt_service(self, hurt: Callable[[psutil.Process], bool]) -> bool:
        process = self._service.process
        return process is not None and process.poll() is None and hurt(psutil.Process(process.pid))

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self._postgres.folder / "data" / "postmaster.pid").read_text().split()[0]))

    def _kill_postgres(self) -> bool:
        processes = [self._postmaster(), *self._postmaster().children()]
        for process in processes:
            kill(process)
        psutil.wait_procs(processes, timeout=10)
        self._postgres.start()
        return True

    def _hold_postgres(self) -> bool:
        processes = [self._postmaster(), *self._postmaster().children()]
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        time.sleep(self._seconds())
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        return True
