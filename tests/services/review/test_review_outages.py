"""The database stops and comes back while a review is pushed and pulled: nothing is lost or doubled."""

import asyncio
import os
import random
import shlex
import subprocess
from pathlib import Path

import psycopg
from fake_label_studio import FakeLabelStudio
from review_bench import Bench, make_review_dataset, open_bench
from sqlalchemy.exc import SQLAlchemyError

from services.review.worker import ReviewWorker


async def test_the_database_restarts_while_pushing_and_pulling(
    home: Path, tmp_path: Path, postgres_database: str
) -> None:
    """A PostgreSQL that is cut off in the middle of whatever is going on, three times in each."""
    dataset, rows = make_review_dataset(tmp_path, 30)
    fake, chance = FakeLabelStudio(), random.Random(3)
    async with open_bench(home, dataset, fake, database_url=postgres_database, batch_items=2) as bench:
        await work_under_restarts(bench, postgres_database, chance, {"sent": 30}, {})
        for row in rows[::2]:
            fake.annotate(fake.task_of(row.image_id))
        await work_under_restarts(bench, postgres_database, chance, {"sent": 30}, {"submitted": 15})

        assert sorted(fake.keys()) == sorted(set(fake.keys()))
        assert len(fake.tasks) == 30


async def work_under_restarts(
    bench: Bench, url: str, chance: random.Random, items: dict[str, int], annotations: dict[str, int]
) -> None:
    """Look after the review as the service's loop does, until all is as wanted and the restarts are over."""
    worker = ReviewWorker(bench.database, bench.client, bench.push, pull_every_s=1e-6)

    async def restarts() -> None:
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            await asyncio.to_thread(restart, url)

    restarting, over, failures = asyncio.create_task(restarts()), False, 0
    while not over:
        try:
            await worker.step()
            review = await bench.review()
            over = restarting.done() and review.state == "open" and await bench.counts() == items
            over = over and await bench.annotations() == annotations
        except (SQLAlchemyError, OSError):
            failures += 1
            await asyncio.sleep(0.05)
    await restarting
    assert failures > 0


def restart(url: str) -> None:
    """Cut the server of a database off, as a crash does, and start it again."""
    with psycopg.connect(url) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    program, *options = shlex.split(Path(data, "postmaster.opts").read_text())
    owner = Path(data).stat()
    user = {} if os.getuid() != 0 else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    wanted = shlex.join(options[options.index("-D") + 2 :] if "-D" in options else options)
    command = [Path(program).with_name("pg_ctl"), "-D", data, "-m", "immediate", "-w", "-t", "60"]
    command += ["-l", Path(data).with_name("log"), "restart", "-o", wanted]
    subprocess.run(command, check=True, capture_output=True, cwd=data, **user)  # type: ignore[call-overload]
