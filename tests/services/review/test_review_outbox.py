"""The outbox: whatever breaks, every item is in Label Studio exactly once, the most doubtful first."""

import asyncio
import json
import os
import random
from pathlib import Path

import httpx
import pytest
from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio
from review_bench import Bench, make_review_dataset, open_bench, push_through
from review_samples import edited

from fo1_data.errors import DatasetError
from schemas.images import ImageRow
from schemas.labels import Decision
from services.datasets import repository as datasets
from services.label_studio.connection import LabelStudioGone
from services.label_studio.shown_from_rows import shown_image
from services.problems import Problem
from services.review import item_repository
from services.review.item_repository import interleave
from services.review.outbox.holder import Holder

FAULTS = ("refuse", "500", "500-taken", "timeout-taken", "timeout-late")


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, 10)


async def test_most_doubtful_first_and_once(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake) as bench:
        await bench.push.run(bench.review_id)
        await bench.push.run(bench.review_id)

        assert [task["data"]["image_id"] for _, task in sorted(fake.tasks.items())] == [
            row.image_id for row in dataset[1]
        ]
        (project,) = fake.projects.values()
        assert project["model_version"] == "fo1-tiny-abababab"
        (webhook,) = fake.webhooks.values()
        assert webhook["headers"]["X-Fo1-Secret"]
        assert all(
            task["predictions"][0]["model_version"] == project["model_version"]
            for task in fake.tasks.values()
        )


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_at_the_import(home: Path, dataset: tuple[Path, list[ImageRow]], fault: str) -> None:
    fake, hits = FakeLabelStudio(), []

    def once(request: httpx.Request) -> str | None:
        if request.url.path.endswith("/import") and len(hits) < 2:
            hits.append(fault)
            return fault
        return None

    fake.fault = once
    async with open_bench(home, dataset[0], fake) as bench:
        await push_through(bench)
        fake.finish_late()
        await bench.changed()

        assert len(hits) == 2
        assert sorted(fake.keys()) == sorted(set(fake.keys()))
        assert len(fake.tasks) == 10
        assert await bench.counts() == {"sent": 10}


@pytest.mark.parametrize("seed", range(6))
async def test_faults_and_kills_at_random(
    home: Path, dataset: tuple[Path, list[ImageRow]], seed: int
) -> None:
    """Any request of the push may meet any fault, and the process may die before or after it."""
    fake, chance = FakeLabelStudio(), random.Random(seed)

    def at_random(request: httpx.Request) -> str | None:
        if chance.random() > 0.35:
            return None
        faults = (*FAULTS, "kill", "kill-taken") if request.method != "GET" else ("refuse", "500", "kill")
        return chance.choice(faults)

    fake.fault = at_random
    async with open_bench(home, dataset[0], fake, batch_items=3) as bench:
        await push_through(bench)
        fake.fault = lambda request: None
        fake.finish_late()
        await bench.changed()

        project = (await bench.review()).project_id
        ours = [task for task in fake.tasks.values() if task["project"] == project]
        keys = sorted(task["data"]["fo1_key"] for task in ours if task["project"] == project)
        assert keys == sorted(set(keys))
        assert len(keys) == 10
        assert await bench.counts() == {"sent": 10}


async def test_one_wrong_task_does_not_stop_the_others(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    fake.refused_images = {dataset[1][2].image_id}
    async with open_bench(home, dataset[0], fake, batch_items=10) as bench:
        await bench.push.run(bench.review_id)

        assert await bench.counts() == {"sent": 9, "refused": 1}
        assert len(fake.tasks) == 9
        async with bench.database.reading() as session:
            (item,) = await item_repository.items_in_state(session, bench.review_id, "refused", 9)
        assert "this task is wrong" in (item.error or "")


async def test_a_service_that_lost_its_database_finds_project_and_tasks(
    tmp_path: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(tmp_path / "one", dataset[0], fake) as first:
        await first.push.run(first.review_id)
        fake.annotate(fake.task_of(dataset[1][0].image_id))
        async with open_bench(tmp_path / "two", dataset[0], fake) as second:
            await second.push.run(second.review_id)
            await second.changed()

            assert len(fake.projects) == 1
            assert len(fake.tasks) == 10
            assert await second.annotations() == {"submitted": 1}
            # The lost database held the grants, too.
            grant = (await second.review()).image_grant_id
            assert all(f"grant={grant}" in task["data"]["image"] for task in fake.tasks.values())


async def test_after_a_revocation_the_next_push_gives_new_addresses(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """Of what is in Label Studio already too; nothing is pushed twice and nothing that was said is lost."""
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake) as bench:
        await bench.push.run(bench.review_id)
        fake.annotate(fake.task_of(dataset[1][0].image_id))
        await bench.ask_again(dataset[0])
        assert (await bench.review()).state == "open"
        before = await bench.review()
        images = [task["data"]["image"] for task in fake.tasks.values()]
        async with bench.database.writing() as session:
            await datasets.revoke_grants(session, before.dataset_id or "")
        await bench.ask_again(dataset[0])
        hits: list[str] = []

        def some(request: httpx.Request) -> str | None:
            hits.append(request.method) if request.method == "PATCH" else None
            return "500-taken" if hits.count("PATCH") == 3 and request.method == "PATCH" else None

        fake.fault = some
        await push_through(bench)
        await bench.changed()

        grant = (await bench.review()).image_grant_id
        assert grant != before.image_grant_id
        found = [task["data"]["image"] for task in fake.tasks.values()]
        assert found == [image.replace(before.image_grant_id or "", grant or "") for image in images]
        assert await bench.counts() == {"sent": 10}
        assert await bench.annotations() == {"submitted": 1}


async def test_what_comes_while_a_push_is_closed_is_pushed(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """A further round, other options, and other addresses, asked for in the very moment in which it ends."""
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake, annotators=2) as bench:
        row = dataset[1][0]
        asked: list[str] = []

        async def meanwhile(request: httpx.Request) -> None:
            body = json.loads(request.content or b"null")
            if request.method != "PATCH" or "model_version" not in body or len(asked) == 3:
                return
            asked.append("again")
            if len(asked) == 1:
                task = fake.task_of(row.image_id)
                for person in (1, 2):
                    fake.annotate(task, edited(shown_image(row), a=f"said by {person}"), person=person)
                await bench.changed()
            elif len(asked) == 2:
                await bench.ask_again(dataset[0], annotators=3)
            else:
                async with bench.database.writing() as session:
                    await datasets.revoke_grants(session, (await bench.review()).dataset_id or "")
                await bench.ask_again(dataset[0], annotators=3)

        fake.meanwhile = meanwhile
        await bench.push.run(bench.review_id)

        review = await bench.review()
        assert (review.state, review.options.annotators) == ("open", 3)
        assert await bench.counts() == {"sent": 11}
        assert "disagreed" in fake.task_of(row.image_id)["data"]["why"]
        grant = f"grant={review.image_grant_id}"
        assert all(grant in task["data"]["image"] for task in fake.tasks.values())


async def test_looking_at_a_finished_push_writes_nothing(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with open_bench(home, dataset[0], FakeLabelStudio()) as bench:
        await bench.push.run(bench.review_id)
        seen = (await bench.review()).pusher_seen_at
        async with bench.database.writing():
            # Another holds the one write lock of SQLite: whoever wants it waits for many seconds.
            assert not await asyncio.wait_for(bench.push.step(bench.review_id), 5)
        assert (await bench.review()).pusher_seen_at == seen


async def test_two_processes_at_once_push_each_item_once(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake) as one:
        other = Bench(one.settings, one.database, one.client, one.review_id, 3, Holder(os.getppid()))

        while (await one.review()).state != "open":
            await one.push.step(one.review_id)
            await other.push.step(one.review_id)

        assert len(fake.keys()) == len(set(fake.keys())) == 10


async def test_a_deleted_project_is_told_and_made_anew(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake) as bench:
        for _ in range(3):
            await bench.push.step(bench.review_id)
        fake.projects.clear()
        fake.tasks.clear()

        with pytest.raises(LabelStudioGone, match="push again"):
            await bench.push.run(bench.review_id)


def test_a_lease_outlives_nobody_on_this_machine() -> None:
    one, later, other = Holder(), Holder(), Holder(os.getppid())
    assert one.name != later.name
    assert one.is_dead(one.name)
    assert later.is_dead(one.name)
    assert not one.is_dead(other.name)
    assert one.is_dead(Holder(2**22 + 1).name)
    assert not one.is_dead(f"elsewhere:{2**22 + 1}:abc")


async def test_lanes_and_limit(home: Path, tmp_path: Path) -> None:
    """Audited images are spread among the doubtful ones, and nothing tells which they are."""
    rows = []
    for seed in range(9):
        lane = Decision.REVIEW if seed < 6 else Decision.AUDIT if seed < 8 else Decision.ACCEPT
        row = make_row(seed, 1, folder=tmp_path / "images", decisions=[lane])
        row.regions[0].labels[0].confidence = (seed + 1) / 20
        rows.append(row)
    make_dataset(tmp_path / "lanes", rows)
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "lanes", fake, limit=7) as bench:
        await bench.push.run(bench.review_id)

        sent = [task["data"]["image_id"] for _, task in sorted(fake.tasks.items())]
        lanes = [
            "audit" if image_id in {row.image_id for row in rows[6:8]} else "review" for image_id in sent
        ]
        assert lanes == ["review", "review", "audit", "review", "review", "review", "audit"]
        assert [image_id for image_id, lane in zip(sent, lanes, strict=True) if lane == "review"] == [
            row.image_id for row in rows[:5]
        ]
        for task in fake.tasks.values():
            assert "audit" not in str(task["data"])
        assert len({task["data"]["why"] for task in fake.tasks.values()}) > 1


async def test_a_blind_review_shows_nobody_which_images_the_audit_drew(home: Path, tmp_path: Path) -> None:
    rows = []
    for seed, lane in enumerate([Decision.REVIEW] * 3 + [Decision.AUDIT] * 3):
        row = make_row(seed, 1, folder=tmp_path / "images", decisions=[lane])
        row.regions[0].labels[0].confidence = (seed + 1) / 20
        row.regions[0].labels[0].reasons = ["low margin"]
        rows.append(row)
    make_dataset(tmp_path / "lanes", rows)
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "lanes", fake, blind=True) as bench:
        await bench.push.run(bench.review_id)
        assert len(fake.tasks) == 6
        told = {
            (task["data"]["why"], task["predictions"][0]["score"], "meta" in str(task["predictions"]))
            for task in fake.tasks.values()
        }
        assert len(told) == 1
        await bench.ask_again(tmp_path / "lanes", blind=None)
        assert (await bench.review()).state == "open"
        with pytest.raises(Problem, match="cannot change after the first push"):
            await bench.ask_again(tmp_path / "lanes", blind=False)


def test_spread() -> None:
    assert interleave([1, 2, 3, 4], [9]) == [1, 2, 9, 3, 4]
    assert interleave([], [7, 8]) == [7, 8]
    assert interleave([1], []) == [1]


async def test_nothing_to_review_is_an_open_review(home: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "fine", [make_row(1, folder=tmp_path / "i", decisions=[Decision.ACCEPT] * 2)])
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "fine", fake) as bench:
        await bench.push.run(bench.review_id)
        assert (await bench.review()).state == "open"
        assert not fake.tasks


async def test_an_unrouted_dataset_is_pushed_whole(home: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", [make_row(seed, folder=tmp_path / "i") for seed in range(3)])
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "raw", fake) as bench:
        await bench.push.run(bench.review_id)
        assert len(fake.tasks) == 3


async def test_a_vanished_dataset_is_one_clear_error(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with open_bench(home, dataset[0], FakeLabelStudio()) as bench:
        dataset[0].rename(dataset[0].with_name("moved"))
        with pytest.raises(DatasetError, match="manifest.json"):
            await bench.push.run(bench.review_id)
