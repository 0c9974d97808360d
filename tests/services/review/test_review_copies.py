"""LsTasks imported again, and annotations moved between them: each annotation is seen once, however late."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import FakeLabelStudio
from review_bench import Bench, make_review_dataset, open_bench, open_review
from review_samples import edited

from schemas.images import ImageRow
from services.label_studio.shown_from_rows import shown_image

OLD = "2001-01-01T00:00:00.000000Z"


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, 3)


@asynccontextmanager
async def pushed(
    home: Path, dataset: tuple[Path, list[ImageRow]], **options: Any
) -> AsyncIterator[tuple[Bench, FakeLabelStudio]]:
    """A review that is open, with one annotation pulled already."""
    async with open_review(home, dataset, **options) as (bench, fake):
        fake.annotate(fake.task_of(dataset[1][2].image_id), caption(dataset[1][2], "early"))
        await bench.changed()
        yield bench, fake


def caption(row: ImageRow, text: str) -> list[dict[str, Any]]:
    return edited(shown_image(row), a=text)


async def test_both_copies_of_a_task_are_read(
    home: Path, dataset: tuple[Path, list[ImageRow]], database_url: str | None
) -> None:
    row = dataset[1][0]
    async with pushed(home, dataset, database_url=database_url, annotators=2) as (bench, fake):
        task = fake.task_of(row.image_id)
        copied = fake.import_again(task)
        fake.annotate(copied, caption(row, "one"), person=1)
        fake.annotate(task, caption(row, "one"), person=2)
        await bench.changed()
        assert await bench.annotations() == {"submitted": 3}
        assert await bench.edits() == ["early", "one"]

        number = copied["annotations"][0]["id"]
        fake.change(copied, number, result=caption(row, "two"))
        await bench.changed()
        assert sorted(text for text in await edits_of_everyone(bench)) == ["early", "one", "two"]
        fake.delete(copied, number)
        await bench.changed()
        assert await bench.annotations() == {"submitted": 2, "deleted": 1}


async def edits_of_everyone(bench: Bench) -> list[str]:
    found = [part for part in await bench.corrections(everyone=True) if part.action == "recaptioned"]
    return [part.after.text or "" for part in found if part.after]


@pytest.mark.parametrize("is_seen_before", [True, False])
@pytest.mark.parametrize("is_original_kept", [True, False])
async def test_annotations_that_are_moved_are_the_same(
    home: Path, dataset: tuple[Path, list[ImageRow]], is_seen_before: bool, is_original_kept: bool
) -> None:
    row = dataset[1][0]
    async with pushed(home, dataset) as (bench, fake):
        task = fake.task_of(row.image_id)
        copied = fake.import_again(task)
        kept, removed = (task, copied) if is_original_kept else (copied, task)
        fake.annotate(removed, caption(row, "moved"))
        if is_seen_before:
            fake.annotate(kept, caption(row, "moved"))
            await bench.changed()
        fake.remove_duplicates(kept, removed)
        kept["updated_at"] = OLD
        await bench.changed()
        assert await bench.annotations() == {"submitted": 2 + is_seen_before}
        assert await bench.edits() == ["early", "moved"]
        assert await bench.counts() == {"sent": 3}
        fake.annotate(kept, caption(row, "later"), person=2)
        await bench.changed()
        assert await bench.annotations() == {"submitted": 3 + is_seen_before}


async def test_what_becomes_visible_late_is_counted(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    row = dataset[1][0]
    async with pushed(home, dataset) as (bench, fake):
        task = fake.task_of(row.image_id)
        fake.annotate(task, caption(row, "late"))
        task["updated_at"] = OLD
        await bench.changed()
        assert await bench.edits() == ["early", "late"]


async def test_a_project_is_listed_again_only_if_its_counts_say_so(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """Also with LsTasks of somebody else, which are known after the first time."""
    async with pushed(home, dataset) as (bench, fake):
        foreign = fake.import_again(fake.task_of(dataset[1][0].image_id))
        foreign["data"]["fo1_key"] = ""
        fake.annotate(foreign, [])
        await bench.changed()
        await bench.changed()
        fake.annotate(fake.task_of(dataset[1][1].image_id), caption(dataset[1][1], "new"))
        start = len(fake.requests)
        await bench.changed()
        lists = [request for request in fake.requests[start:] if request == "GET /api/tasks"]
        assert len(lists) == 3  # what changed, those LsTasks, and the key of the one of somebody else
        assert await bench.edits() == ["early", "new"]


async def test_only_what_the_push_inserted_twice_is_deleted(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """Copies that somebody imported stay, also without annotations, and so does an insert with a draft."""
    row, other = dataset[1][0], dataset[1][1]
    async with pushed(home, dataset) as (bench, fake):
        task = fake.task_of(row.image_id)
        copied = fake.import_again(task)
        late, with_draft = fake.import_again(task), fake.import_again(fake.task_of(other.image_id))
        late["data"]["fo1_request"] = with_draft["data"]["fo1_request"] = "an insert that arrived late"
        fake.drafts.add(with_draft["id"])
        await bench.changed()
        assert copied["id"] in fake.tasks
        assert with_draft["id"] in fake.tasks
        assert late["id"] not in fake.tasks
        fake.annotate(copied, caption(row, "in the copy"))
        fake.annotate(with_draft, caption(other, "from the draft"))
        await bench.changed()
        assert await bench.edits() == ["early", "from the draft", "in the copy"]


async def test_a_push_that_lost_its_answers_leaves_the_copies_of_others(
    home: Path, dataset: tuple[Path, list[ImageRow]], tmp_path: Path
) -> None:
    async with pushed(home, dataset) as (_, fake):
        copied = fake.import_again(fake.task_of(dataset[1][0].image_id))
        async with open_bench(tmp_path / "second", dataset[0], fake) as second:
            await second.push.run(second.review_id)
            assert (await second.review()).state == "open"
            assert copied["id"] in fake.tasks
            assert len(fake.tasks) == 4
