"""Work in the background, beside the requests, as long as the service runs. Times in seconds."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

# A step may finish its transaction first: cancelling it can lose the database connection.
GRACE_S = 10.0
_log = logging.getLogger("fo1.service")


class Loop:
    """Runs `step` again and again: at once if it returned True (more is left), else after a pause or `wake`.

    `name`: what the step works on. A step that fails is tried again, and logged unless it failed before or
    `notice` returns why it failed, which is then logged elsewhere. `ended_s`: when a step last succeeded.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], pause_s: float) -> None:
        self.name, self._step, self._pause_s = name, step, pause_s
        self.notice: Callable[[BaseException], str | None] = lambda error: None
        self.ended_s = time.monotonic()
        self._wake = asyncio.Event()
        self._ending = self._failed = False

    @property
    def ending(self) -> bool:
        """Return whether the loop is to end: a long step stops where it can go on later."""
        return self._ending

    def age_s(self) -> float:
        """Return the time since a step last succeeded."""
        return time.monotonic() - self.ended_s

    def wake(self) -> None:
        """End the pause."""
        self._wake.set()

    def end(self) -> None:
        """Start no further step."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Run until `end` is called."""
        while not self._ending:
            if not await self._try_step() and not self._ending:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause_s)
            self._wake.clear()

    async def _try_step(self) -> bool:
        try:
            more = await self._step()
        except (SQLAlchemyError, OSError) as error:
            if self.notice(error) is None and not self._failed:
                _log.warning("work on %s failed and will be tried again: %s", self.name, error)
        except Exception:
            if not self._failed:
                _log.exception("work on %s failed unexpectedly", self.name)
        else:
            self._failed, self.ended_s = False, time.monotonic()
            return more
        self._failed = True
        return False


@asynccontextmanager
async def running(*loops: Loop, grace_s: float = GRACE_S) -> AsyncIterator[None]:
    """Run `loops` during a `with` block. Steps that run at its end have `grace_s` to finish."""
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield
    finally:
        for loop in loops:
            loop.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
