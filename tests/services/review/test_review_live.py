"""A review's connection to the model: made, tried again, taken away, and whom it lets in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_label_studio import FakeLabelStudio
from fastapi.security import HTTPBasicCredentials
from review_bench import Bench, make_review_dataset, open_bench

from services.api.ml_backend import _live_review
from services.review.live import live_secret
from services.review.service import webhook_secret
from services.review.worker import ReviewWorker


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_review_dataset(tmp_path, 2)[0]


async def pushed(bench: Bench, dataset: Path, **options: bool) -> str | None:
    """Push once more; what the review says then."""
    await bench.ask_again(dataset, **options)
    await bench.push.run(bench.review_id)
    return (await bench.review()).error


async def test_a_connection_that_failed_is_tried_by_the_next_push(home: Path, dataset: Path) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset, fake) as bench:
        fake.refuses_ml_backends = True
        assert "live labelling is not connected" in str(await pushed(bench, dataset, live=True))
        assert not fake.ml_backends
        fake.refuses_ml_backends = False
        assert await pushed(bench, dataset) is None
        assert len(fake.ml_backends) == 1


async def test_a_review_that_is_no_longer_live_is_disconnected(home: Path, dataset: Path) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset, fake) as bench:
        await pushed(bench, dataset, live=True)
        (project,) = fake.projects.values()
        project["label_config"] = changed = project["label_config"].replace(
            "<View>", "<View><!-- ours -->", 1
        )
        await pushed(bench, dataset, live=True, limit=1)
        assert (len(fake.ml_backends), project["label_config"]) == (1, changed)  # what people set up stays
        assert await pushed(bench, dataset, live=False) is None
        assert not fake.ml_backends


async def test_what_is_told_of_the_connection_outlives_an_outage(home: Path, dataset: Path) -> None:
    """The pause of Label Studio is over and says so; that the model is not connected still holds."""
    fake = FakeLabelStudio()
    fake.refuses_ml_backends = True
    async with open_bench(home, dataset, fake) as bench:
        worker = ReviewWorker(bench.database, bench.client, bench.push, pull_every_s=0)
        await bench.ask_again(dataset, live=True)
        fake.fault = lambda request: "refuse"
        while (await bench.review()).error is None:
            await worker.step()
        fake.fault = lambda request: None
        while (await bench.review()).state != "open":
            worker.wake()
            await worker.step()
        assert "live labelling is not connected" in str((await bench.review()).error)


async def test_the_model_answers_projects_of_live_reviews_alone(home: Path, dataset: Path) -> None:
    async with open_bench(home, dataset, FakeLabelStudio()) as bench:
        context: Any = SimpleNamespace(settings=bench.settings, database=bench.database)

        async def is_let_in(password: str) -> bool:
            given = HTTPBasicCredentials(username=bench.review_id, password=password)
            return await _live_review(context, given) is not None

        mine = live_secret(bench.settings, bench.review_id)
        assert not await is_let_in(mine)
        await bench.ask_again(dataset, live=True)
        assert await is_let_in(mine)
        assert not await is_let_in(webhook_secret(bench.settings, bench.review_id))
        await bench.ask_again(dataset, live=False)
        assert not await is_let_in(mine)
