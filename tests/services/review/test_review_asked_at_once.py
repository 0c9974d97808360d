"""A push that is asked for in the very moment in which another transaction makes or moves its review."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import FakeLabelStudio
from review_bench import Bench, begun, make_review_dataset, open_bench
from sqlalchemy import text

from schemas.reviews import ReviewOptions
from services.database.review_tables import Review
from services.datasets import repository as datasets
from services.review import repository, service


@asynccontextmanager
async def held_review(bench: Bench, **values: Any) -> AsyncIterator[None]:
    """Within the block another transaction has moved the review and is not over yet."""
    async with bench.database.writing() as session:
        await repository.lock_review(session, bench.review_id)
        await repository.set_review(session, bench.review_id, **values)
        yield


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_review_dataset(tmp_path, 6)[0]


async def test_other_options_asked_for_as_the_items_are_ready(
    home: Path, dataset: Path, postgres_database: str
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset, fake, database_url=postgres_database, limit=2) as bench:
        async with held_review(bench, state="pushing"):
            asked = await begun(bench, bench.ask_again(dataset, limit=4))
        await asked

        review = await bench.review()
        assert (review.state, review.options) == ("preparing", ReviewOptions(limit=4))
        await bench.push.run(bench.review_id)
        assert len(fake.tasks) == 4


async def test_a_push_after_a_revocation_as_the_review_opens(
    home: Path, dataset: Path, postgres_database: str
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset, fake, database_url=postgres_database) as bench:
        await bench.push.run(bench.review_id)
        before = await bench.review()
        async with bench.database.writing() as session:
            await repository.set_review(session, bench.review_id, state="pushing")
            await datasets.revoke_grants(session, before.dataset_id or "")
        async with held_review(bench, state="open"):
            asked = await begun(bench, bench.ask_again(dataset))
        await asked

        await bench.push.run(bench.review_id)
        grant = (await bench.review()).image_grant_id
        assert grant != before.image_grant_id
        assert all(f"grant={grant}" in task["data"]["image"] for task in fake.tasks.values())


async def test_two_first_pushes_of_a_dataset_are_one_review(
    home: Path, dataset: Path, postgres_database: str
) -> None:
    async with open_bench(home, dataset, FakeLabelStudio(), database_url=postgres_database) as bench:
        async with bench.database.writing() as session:
            review = await bench.review()
            record = await datasets.get_dataset(session, review.dataset_id or "")
            assert record is not None
            await session.execute(text("DELETE FROM reviews"))

        async def ask() -> Review:
            async with bench.database.writing() as session:
                return await service.request_push(session, bench.settings, record, None, ReviewOptions())

        async with bench.database.writing() as session:
            first = await service.request_push(session, bench.settings, record, None, ReviewOptions())
            asked = await begun(bench, ask())
        assert (await asked).id == first.id
