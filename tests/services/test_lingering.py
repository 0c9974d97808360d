"""A connection that has been refused and is not closed yet, on both loops."""

import asyncio
import socket

import pytest
import uvloop
from listening_service import WITHIN_S, LoopFactory

from services.security.lingering import LingeringTransport

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@LOOPS
def test_an_answer_that_comes_after_the_refusal_is_dropped(loop: LoopFactory) -> None:
    ours, peer = socket.socketpair()

    async def refuse() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        lingering = LingeringTransport(transport, lambda: True)
        try:
            lingering.write(b"refused")
            lingering.close()
            lingering.write(b"what the application had to say")
        finally:
            lingering.close_at_once()

    with peer, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(refuse())
        peer.settimeout(WITHIN_S)
        assert (peer.recv(100), peer.recv(100)) == (b"refused", b"")
