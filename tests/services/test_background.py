"""Loops beside the requests: nothing is cancelled half way, nothing that fails ends them."""

import asyncio
import logging

import pytest

from services.background import Loop, running

FAR_S = 3600.0


async def test_a_step_at_work_is_let_finish() -> None:
    begun, finished = asyncio.Event(), []

    async def step() -> bool:
        begun.set()
        await asyncio.sleep(0.05)
        finished.append(True)
        return True

    async with running(Loop("steps", step, FAR_S)):
        await begun.wait()
    assert finished == [True]


async def test_a_step_that_hangs_is_cancelled_after_the_grace() -> None:
    begun, cancelled = asyncio.Event(), []

    async def step() -> bool:
        begun.set()
        try:
            await asyncio.sleep(FAR_S)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return False

    async with running(Loop("steps", step, FAR_S), grace_s=0.01):
        await begun.wait()
    assert cancelled == [True]


async def test_a_wake_ends_the_pause_and_what_is_left_is_done_at_once() -> None:
    counts: list[int] = []
    reached = {number: asyncio.Event() for number in (3, 4)}

    async def step() -> bool:
        counts.append(len(counts) + 1)
        if len(counts) in reached:
            reached[len(counts)].set()
        return len(counts) < 3

    loop = Loop("steps", step, FAR_S)
    async with asyncio.timeout(10), running(loop):
        await reached[3].wait()
        loop.wake()
        await reached[4].wait()
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("error", [OSError("no disk"), ValueError("a defect")])
async def test_a_step_that_fails_is_logged_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    again = asyncio.Event()

    async def step() -> bool:
        if not caplog.records:
            raise error
        again.set()
        return False

    with caplog.at_level(logging.WARNING, "fo1.service"):
        async with asyncio.timeout(10), running(Loop("steps", step, 0.001)):
            await again.wait()
    assert "steps" in caplog.text
    assert str(error) in caplog.text
