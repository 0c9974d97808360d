"""Measures whether kills at random moments lose or double anything: of the service and of Label Studio.

The killed service runs its loop over reviews, without a socket.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.reviews import ReviewState
from services.benchmarks.own_process import fork, in_process
from services.benchmarks.review_place import Place, StartedServer
from services.benchmarks.review_work import (
    annotate,
    annotations_of,
    create_review,
    keys_in,
    pull_changed,
    push_all,
    review_of,
    serve,
    write_dataset,
)

MAX_LIFE_S = 3.0


def measure_kills(
    place: Place, dataset: Path, kills: int, server: StartedServer | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Kill at random moments, half while pushing and half while pulling; count what is lost or doubled."""
    rng = random.Random(7)
    count = 40 * max(kills, 1)
    in_process(write_dataset, dataset, count, 2)
    review = asyncio.run(create_review(place, dataset))

    def is_pushed() -> bool:
        return asyncio.run(review_of(place, review)).state == ReviewState.OPEN

    in_push = sum(_killed(rng, place, is_pushed) for _ in range((kills + 1) // 2))
    outages = _outage(place, server)
    in_process(push_all, place, review, 100)
    say(f"killed {in_push} times while pushing, Label Studio {outages} times")
    project = asyncio.run(review_of(place, review)).project_id or 0
    submitted: list[int] = []
    in_pull = 0

    def is_pulled() -> bool:
        return len(asyncio.run(annotations_of(place, review))) >= len(submitted)

    for _ in range(kills // 2):
        submitted += asyncio.run(annotate(place, project, 6, skip=len(submitted)))
        in_pull += _killed(rng, place, is_pulled)
    outages += _outage(place, server)
    in_process(pull_changed, place, review)
    keys = asyncio.run(keys_in(place, project))
    stored = asyncio.run(annotations_of(place, review))
    return {
        "killed_in_push": in_push,
        "killed_in_pull": in_pull,
        "label_studio_killed": outages,
        "items": count,
        "items_lost": count - len(set(keys)),
        "items_doubled": len(keys) - len(set(keys)),
        "annotations": len(submitted),
        "annotations_lost": len(submitted) - len(set(stored)),
        "annotations_doubled": len(stored) - len(set(stored)),
    }


def _killed(rng: random.Random, place: Place, is_done: Callable[[], bool]) -> int:
    """Kill the service at a random moment; return 0 if its work was already done, else 1."""
    process = fork(serve, place)
    time.sleep(rng.uniform(0.1, MAX_LIFE_S))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return int(not is_done())


def _outage(place: Place, server: StartedServer | None) -> int:
    """Kill Label Studio while the service works with it, and start it again; return how often."""
    if server is None:
        return 0
    process = fork(serve, place)
    time.sleep(MAX_LIFE_S)
    server.kill_and_start()
    time.sleep(MAX_LIFE_S)
    process.kill()
    process.join()
    return 1
