"""Predictions that Label Studio lost or refused are sent again, and no task is inserted twice for them."""

from pathlib import Path

import httpx
import pytest
from fake_label_studio import FakeLabelStudio
from review_bench import make_review_dataset, open_bench, push_through

from schemas.images import ImageRow
from services.datasets import repository as datasets
from services.label_studio.connection import LabelStudioLost


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, 10)


async def test_predictions_that_an_import_loses_are_sent_again(home: Path, tmp_path: Path) -> None:
    """Label Studio on SQLite creates the tasks alone if its database was locked, and answers 201."""
    dataset, _ = make_review_dataset(tmp_path, 6)
    fake = FakeLabelStudio()
    fake.drops_predictions = True
    async with open_bench(home, dataset, fake) as bench:
        await bench.push.run(bench.review_id)
        assert await bench.counts() == {"sent": 6}
    for task in fake.tasks.values():
        (prediction,) = task["predictions"]
        assert (prediction["task"], prediction["model_version"]) == (task["id"], "fo1-tiny-abababab")
        assert prediction["result"]


@pytest.mark.parametrize("fault", ["500", "500-taken", "timeout-taken", "kill"])
async def test_predictions_that_cannot_be_sent_again_at_once_are_sent_at_the_end(
    home: Path, tmp_path: Path, fault: str
) -> None:
    dataset, _ = make_review_dataset(tmp_path, 6)
    fake, num_faults = FakeLabelStudio(), 1 if fault == "kill" else 3  # three tries fail
    fake.drops_predictions = True
    hits: list[str] = []

    def at_predictions(request: httpx.Request) -> str | None:
        if request.url.path.endswith("/import/predictions") and len(hits) < num_faults:
            hits.append(fault)
            return fault
        return None

    fake.fault = at_predictions
    async with open_bench(home, dataset, fake) as bench:
        await push_through(bench)
        assert await bench.counts() == {"sent": 6}
    assert len(hits) == num_faults
    assert len(fake.tasks) == 6
    assert all(task["predictions"] for task in fake.tasks.values())


async def test_tasks_of_a_lost_database_get_the_predictions_they_lack(
    tmp_path: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(tmp_path / "one", dataset[0], fake) as first:
        await first.push.run(first.review_id)
    bare = fake.task_of(dataset[1][4].image_id)
    bare["predictions"] = []
    async with open_bench(tmp_path / "two", dataset[0], fake) as second:
        await second.push.run(second.review_id)
    assert [len(task["predictions"]) for task in fake.tasks.values()] == [1] * 10
    assert bare["predictions"][0]["model_version"] == "fo1-tiny-abababab"


async def test_refused_predictions_insert_no_task_twice(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    fake.drops_predictions = fake.refuses_predictions = True
    async with open_bench(home, dataset[0], fake) as bench:
        with pytest.raises(LabelStudioLost, match="without their predictions"):
            await bench.push.run(bench.review_id)
        fake.refuses_predictions = False
        await push_through(bench)
    assert len(fake.tasks) == 10
    assert all(task["predictions"] for task in fake.tasks.values())


async def test_a_new_address_leaves_what_others_added_to_a_task(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake) as bench:
        await bench.push.run(bench.review_id)
        task = fake.task_of(dataset[1][0].image_id)
        task["data"]["batch"] = "monday"
        before = dict(task["data"])
        async with bench.database.writing() as session:
            await datasets.revoke_grants(session, (await bench.review()).dataset_id or "")
        await bench.ask_again(dataset[0])
        await push_through(bench)
        after = fake.task_of(dataset[1][0].image_id)["data"]
        assert after["image"] != before["image"]
        assert {name for name in after if after[name] != before[name]} <= {"image", "closeups"}
        assert after["batch"] == "monday"
