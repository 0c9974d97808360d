"""Annotations of one image that two transactions store in the same moment, as two services may."""

from pathlib import Path
from typing import Any

from review_bench import Bench, begun, make_review_dataset, open_review
from review_samples import edited

from schemas.images import ImageRow
from services.label_studio.shown_from_rows import shown_image
from services.review import item_repository, repository
from services.review.inbox.look import take_in_annotations


def caption(row: ImageRow, text: str) -> list[dict[str, Any]]:
    return edited(shown_image(row), a=text)


async def test_one_annotation_holds_though_two_rounds_are_settled_at_once(
    home: Path, tmp_path: Path, postgres_database: str
) -> None:
    """An annotation of the first round is taken in while a webhook tells of one of the second."""
    dataset = make_review_dataset(tmp_path, 2)
    async with open_review(home, dataset, database_url=postgres_database, annotators=2) as (bench, fake):
        row = dataset[1][0]
        task = fake.task_of(row.image_id)
        fake.annotate(task, caption(row, "one"), person=1)
        fake.annotate(task, caption(row, "two"), person=2)
        blank = fake.annotate(task, [], person=3, parent_prediction=None)
        await bench.changed()
        await bench.push.run(bench.review_id)
        again = fake.task_of(row.image_id)
        assert again["id"] != task["id"]
        fake.annotate(again, caption(row, "three"), person=4)

        async with bench.database.writing() as session:
            (item,) = await item_repository.items_of_tasks(session, bench.review_id, [task["id"]])
            await item_repository.lock_items(session, [item.id])
            taken = await begun(bench, take_in(bench, blank))
            told = bench.pull.pull_tasks(bench.review_id, [again["id"]])
            pulled = await begun(bench, told, num_waiting=2)
        assert await taken == 1
        await pulled

        assert len({correction.annotation_key for correction in await bench.corrections()}) == 1
        assert await bench.edits() == ["three"]


async def take_in(bench: Bench, number: int) -> int:
    async with bench.database.writing() as session:
        review = await repository.find_review(session, bench.review_id)
        assert review is not None
        return await take_in_annotations(session, review, "key_1", [number], None)
