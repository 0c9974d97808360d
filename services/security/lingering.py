"""Closing a connection so that its last answer arrives."""

import asyncio
from collections.abc import Callable
from typing import Any

IDLE_S = 2.0
LONGEST_S = 30.0


class LingeringTransport:
    """A transport whose `close` lets a peer that is still sending read the last answer.

    The kernel resets a connection that is closed with bytes unread, and the peer may then lose an answer that
    was on its way (RFC 9112, section 9.6). So where `is_unread()`, `close` ends only what this side sends.
    The protocol discards what comes after that, and says so by `discarded`. The connection ends when the
    peer closes it, when nothing has come for `IDLE_S` seconds, or after `LONGEST_S` seconds. What is written
    after `close` is dropped, as the application may still be at its answer. All else is the wrapped
    transport's.
    """

    def __init__(self, transport: asyncio.Transport, is_unread: Callable[[], bool]) -> None:
        self._transport, self._is_unread = transport, is_unread
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ends_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._timer is not None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._is_unread() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._ends_s = self._loop.time() + LONGEST_S
        self._wait()

    def close_at_once(self) -> None:
        """Close once what was written has left, whatever the peer still sends."""
        self.lost()
        self._transport.close()

    def discarded(self) -> None:
        """Wait on for the peer to close, as it has sent something."""
        if self._timer is not None:
            self._timer.cancel()
            self._wait()

    def lost(self) -> None:
        """Wait no longer, as the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        left_s = self._ends_s - self._loop.time()
        self._timer = self._loop.call_later(min(IDLE_S, left_s), self._transport.abort)
