"""Webhooks and pulls together: each annotation once, in its latest state, whatever is lost or doubled."""

import copy
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_label_studio import FakeLabelStudio, Killed
from review_bench import Bench, make_review_dataset, open_bench
from review_samples import edited

from schemas.images import ImageRow
from services.label_studio.connection import LabelStudioLost
from services.label_studio.shown_from_rows import shown_image
from services.review import annotation_repository, delivery_repository, item_repository
from services.review.worker import ReviewWorker


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, 6)


@asynccontextmanager
async def pushed(home: Path, dataset: tuple[Path, list[ImageRow]], **options: Any) -> AsyncIterator[Bench]:
    """A review whose six items are in a made-up Label Studio."""
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake, **options) as bench:
        await bench.push.run(bench.review_id)
        bench.fake = fake  # type: ignore[attr-defined]
        yield bench


def caption(row: ImageRow, text: str) -> list[dict[str, Any]]:
    return edited(shown_image(row), a=text)


def created(number: int, task: dict[str, Any], action: str = "ANNOTATION_CREATED") -> dict[str, Any]:
    one = next(entry for entry in task["annotations"] if entry["id"] == number)
    project = {"id": task["project"], "token": "never to be kept"}
    return {"action": action, "annotation": {**one, "task": task["id"]}, "project": project}


async def test_pulled_heard_and_heard_again_is_there_once(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        task = fake.task_of(dataset[1][0].image_id)
        number = fake.annotate(task, caption(dataset[1][0], "a new one"))
        for _ in range(3):
            await bench.hear(created(number, task))
        await bench.look()
        first = await bench.corrections()
        pulled = await bench.changed()

        assert await bench.annotations() == {"submitted": 1}
        assert await bench.edits() == ["a new one"]
        assert (pulled.created, pulled.updated) == (0, 0)
        assert await bench.corrections() == first
        assert {correction.annotator for correction in first} == {"person1@example.org"}
        assert {correction.seconds for correction in first} == {3.5}


async def test_the_latest_state_counts(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    """Created, changed, skipped, taken back, deleted: each time what is there now is what counts."""
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        row = dataset[1][0]
        task = fake.task_of(row.image_id)
        number = fake.annotate(task, caption(row, "one"))
        await bench.changed()
        fake.change(task, number, result=caption(row, "two"))
        assert (await bench.changed()).updated == 1
        assert await bench.edits() == ["two"]
        fake.change(task, number, was_cancelled=True)
        await bench.changed()
        assert await bench.annotations() == {"cancelled": 1}
        assert [correction.action for correction in await bench.corrections()] == ["withdrawn"]
        fake.change(task, number, was_cancelled=False)
        await bench.changed()
        assert await bench.edits() == ["two"]
        fake.delete(task, number)
        assert (await bench.changed()).deleted == 1
        assert await bench.annotations() == {"deleted": 1}
        assert [correction.action for correction in await bench.corrections()] == ["withdrawn"]


@pytest.mark.parametrize("user_id", [2**70, -1, True, [1], {"id": 1}, "ann", 1e400])
async def test_an_id_that_is_no_users_does_not_end_a_pull(
    home: Path, dataset: tuple[Path, list[ImageRow]], user_id: Any
) -> None:
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        for row, lead_time in zip(dataset[1], (10**400, True, 3.5), strict=False):
            number = fake.annotate(fake.task_of(row.image_id), caption(row, "new"))
            fake.change(fake.task_of(row.image_id), number, completed_by=user_id, lead_time=lead_time)
        assert (await bench.changed()).created == 3
        corrections = await bench.corrections()
        assert {part.annotator for part in corrections} >= {f"deleted account (annotation {number})"}
        assert {part.seconds for part in corrections} == {None, 1.0, 3.5}


async def test_webhooks_in_the_wrong_order_and_too_early(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        row = dataset[1][1]
        task = fake.task_of(row.image_id)
        number = fake.annotate(task, caption(row, "old"))
        old = created(number, task)
        early = {**old, "annotation": {**old["annotation"], "updated_at": "2999-01-01T00:00:00Z"}}
        fake.change(task, number, result=caption(row, "new"))
        await bench.hear(created(number, task, "ANNOTATION_UPDATED"))
        await bench.hear(old)
        await bench.hear(early)
        await bench.look(1)
        async with bench.database.reading() as session:
            waiting = await delivery_repository.list_deliveries(session, bench.review_id, 9)
        assert len(waiting) == 1
        await bench.look()
        async with bench.database.reading() as session:
            assert not await delivery_repository.list_deliveries(session, bench.review_id, 9)
        assert await bench.edits() == ["new"]


async def test_a_deletion_is_heard_by_the_annotations_id(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        task = fake.task_of(dataset[1][2].image_id)
        number = fake.annotate(task)
        await bench.changed()
        fake.delete(task, number)
        await bench.hear({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": number}, {"id": 10**6}]})
        await bench.look()
        assert await bench.annotations() == {"deleted": 1}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"action": "PROJECT_UPDATED", "project": {"id": 1}},
        {"action": "ANNOTATION_CREATED"},
        {"action": "ANNOTATION_CREATED", "annotation": {"id": "x", "task": []}},
        {"action": "ANNOTATIONS_DELETED", "annotations": 7},
        {"action": ["x"], "annotation": None},
    ],
)
async def test_strange_webhooks_do_nothing(
    home: Path, dataset: tuple[Path, list[ImageRow]], payload: dict[str, Any]
) -> None:
    async with pushed(home, dataset) as bench:
        await bench.hear(payload)
        await bench.look()
        assert await bench.annotations() == {}


async def test_disagreement_is_asked_again_and_the_new_answer_holds(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with pushed(home, dataset, annotators=2) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        row = dataset[1][0]
        task = fake.task_of(row.image_id)
        fake.annotate(task, caption(row, "one"), person=1)
        fake.annotate(task, caption(row, "two"), person=2)
        await bench.changed()
        assert await bench.edits() == ["two"]
        assert (await bench.review()).state == "pushing"
        await bench.push.run(bench.review_id)
        again = fake.task_of(row.image_id)
        assert again["id"] != task["id"]
        assert "disagreed" in again["data"]["why"]
        fake.annotate(again, caption(row, "three"), person=3)
        await bench.changed()
        assert await bench.edits() == ["three"]
        assert len(await bench.corrections(everyone=True)) > len(await bench.corrections())


async def test_an_annotation_that_cannot_be_understood_is_set_aside(
    home: Path, dataset: tuple[Path, list[ImageRow]], database_url: str | None
) -> None:
    """Its reason is kept, all others come in, and once it is changed it comes in too."""
    async with pushed(home, dataset, database_url=database_url) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        rows = dataset[1]
        bad = fake.task_of(rows[0].image_id)
        number = fake.annotate(bad, caption(rows[0], "half a character \ud83d"))
        fake.annotate(fake.task_of(rows[1].image_id), caption(rows[1], "fine"))
        zero = {"from_name": "comment", "type": "textarea", "value": {"text": ["zero \0"]}, "id": "c"}
        fake.annotate(fake.task_of(rows[2].image_id), [*caption(rows[2], "good"), zero])
        await bench.changed()
        assert await bench.annotations() == {"submitted": 2, "unreadable": 1}
        assert await bench.edits() == ["fine", "good"]
        async with bench.database.reading() as session:
            ((row, _),) = await annotation_repository.list_set_aside(session, bench.review_id, None, None, 9)
        expected = (number, bad["id"], "person1@example.org")
        assert (row.ls_annotation_id, row.ls_task_id, row.annotator) == expected
        assert "cannot be understood" in (row.error or "")

        fake.change(bad, number, result=caption(rows[0], "whole"))
        await bench.changed()
        assert await bench.annotations() == {"submitted": 3}
        assert await bench.edits() == ["fine", "good", "whole"]


async def test_one_review_that_fails_stops_no_other(
    home: Path, dataset: tuple[Path, list[ImageRow]], tmp_path: Path
) -> None:
    """Whatever goes wrong with the older one, the newer one is looked after, and the older one says so."""
    other = make_review_dataset(tmp_path / "other", 2)
    async with pushed(home, dataset) as bench, bench.and_another(other[0]) as newer:
        async with bench.database.writing() as session:
            for item in await item_repository.items_in_state(session, bench.review_id, "sent", 99):
                item.shown = b"no longer what it was"
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        task = fake.task_of(dataset[1][0].image_id)
        await bench.hear(created(fake.annotate(task), task))
        worker = ReviewWorker(bench.database, bench.client, bench.push, pull_every_s=0)
        while (await newer.review()).state != "open":
            await worker.step()
        task = fake.task_of(other[1][0].image_id)
        await newer.hear(created(fake.annotate(task), task))
        await worker.step()
        assert await newer.annotations() == {"submitted": 1}
        assert "log" in ((await bench.review()).error or "")


async def test_both_databases_carry_a_review(
    home: Path, dataset: tuple[Path, list[ImageRow]], database_url: str | None
) -> None:
    """Push, disagreement, a further round, a deletion: on SQLite and on PostgreSQL."""
    async with pushed(home, dataset, database_url=database_url, annotators=2) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        row = dataset[1][0]
        task = fake.task_of(row.image_id)
        fake.annotate(task, caption(row, "one"), person=1)
        number = fake.annotate(task, caption(row, "two"), person=2)
        await bench.hear(created(number, task))
        await bench.look()
        await bench.push.run(bench.review_id)
        fake.annotate(fake.task_of(row.image_id), caption(row, "three"), person=3)
        fake.delete(task, number)
        await bench.changed()

        assert await bench.edits() == ["three"]
        assert await bench.counts() == {"sent": 7}
        assert await bench.annotations() == {"submitted": 2, "deleted": 1}


async def test_a_question_that_is_asked_again_outlives_another_push_with_a_limit(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    folder, rows = dataset
    fake = FakeLabelStudio()
    async with open_bench(home, folder, fake, limit=1, annotators=2) as bench:
        await bench.push.run(bench.review_id)
        [task] = fake.tasks.values()
        row = next(row for row in rows if row.image_id == task["data"]["image_id"])
        fake.annotate(task, caption(row, "one thing"), person=1)
        fake.annotate(task, caption(row, "another thing"), person=2)
        await bench.changed()
        await bench.ask_again(folder, limit=1, annotators=2, asked_only=True)
        await bench.push.run(bench.review_id)

        assert len(fake.tasks) == 2
        assert {task["data"]["image_id"] for task in fake.tasks.values()} == {row.image_id}


async def test_ground_truth_holds(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    async with pushed(home, dataset, annotators=2) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        row = dataset[1][0]
        task = fake.task_of(row.image_id)
        fake.annotate(task, caption(row, "truth"), person=1, ground_truth=True)
        fake.annotate(task, caption(row, "other"), person=2)
        await bench.changed()
        assert await bench.edits() == ["truth"]
        assert all(correction.ground_truth for correction in await bench.corrections())
        assert (await bench.review()).state == "open"


async def test_a_deleted_task_takes_no_word_with_it(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        task = fake.task_of(dataset[1][0].image_id)
        fake.annotate(task, caption(dataset[1][0], "kept"))
        await bench.changed()
        del fake.tasks[task["id"]]
        await bench.changed()
        assert await bench.counts() == {"sent": 5, "gone": 1}
        assert await bench.edits() == ["kept"]


async def test_a_double_that_people_have_annotated_gets_a_living_address(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """An insert that came late, under a grant revoked meanwhile, takes the place of the other one."""
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        first = fake.task_of(dataset[1][0].image_id)
        late = {**copy.deepcopy(first), "id": 999}
        late["data"]["image"] = late["data"]["image"].partition("grant=")[0] + "grant=revoked"
        late["data"]["fo1_request"] = "another"
        fake.tasks[999] = late
        fake.annotate(late, caption(dataset[1][0], "kept"))
        await bench.changed()
        await bench.ask_again(dataset[0])
        await bench.push.run(bench.review_id)

        assert first["id"] not in fake.tasks
        assert await bench.edits() == ["kept"]
        grant = (await bench.review()).image_grant_id
        assert all(f"grant={grant}" in task["data"]["image"] for task in fake.tasks.values())


@pytest.mark.parametrize("seed", range(4))
async def test_a_life_of_annotations_under_faults(
    home: Path, dataset: tuple[Path, list[ImageRow]], seed: int
) -> None:
    """People work at random; webhooks are lost, doubled, shuffled; the process dies while pulling."""
    chance = random.Random(seed)
    async with pushed(home, dataset) as bench:
        fake: FakeLabelStudio = bench.fake  # type: ignore[attr-defined]
        post: list[dict[str, Any]] = []
        rows = {row.image_id: row for row in dataset[1]}
        for step in range(25):
            task = chance.choice(list(fake.tasks.values()))
            row = rows[task["data"]["image_id"]]
            known = [entry["id"] for entry in task["annotations"]]
            what = chance.random()
            if known and what < 0.3:
                number = chance.choice(known)
                fake.change(
                    task, number, result=caption(row, f"step {step}"), was_cancelled=chance.random() < 0.2
                )
                post.append(created(number, task, "ANNOTATION_UPDATED"))
            elif known and what < 0.45:
                number = chance.choice(known)
                fake.delete(task, number)
                post.append({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": number}]})
            else:
                number = fake.annotate(task, caption(row, f"step {step}"), person=chance.randint(1, 3))
                post.append(created(number, task))
            chance.shuffle(post)
            heard = [payload for payload in post if chance.random() < 0.6]
            post = [payload for payload in post if chance.random() < 0.3]
            for payload in heard:
                await bench.hear(payload)
            await under_faults(bench, fake, chance)
        fake.fault = lambda request: None
        await bench.look()
        await bench.changed()

        expected = {
            entry["id"]: "cancelled" if entry["was_cancelled"] else "submitted"
            for task in fake.tasks.values()
            for entry in task["annotations"]
        }
        async with bench.database.reading() as session:
            items = await item_repository.items_in_state(session, bench.review_id, "sent", 99)
            annotations = await annotation_repository.annotations_of_items(
                session, [item.id for item in items]
            )
        assert {row.ls_annotation_id: row.state for row in annotations if row.state != "deleted"} == expected
        assert len(annotations) == len({row.ls_annotation_id for row in annotations})
        latest = {
            entry["id"]: entry["updated_at"] for task in fake.tasks.values() for entry in task["annotations"]
        }
        assert {
            row.ls_annotation_id: row.ls_updated_at for row in annotations if row.state != "deleted"
        } == latest


async def under_faults(bench: Bench, fake: FakeLabelStudio, chance: random.Random) -> None:
    """Look into the inbox or pull, with requests that fail and a process that dies."""

    def fault(request: httpx.Request) -> str | None:
        return chance.choice(["500", "refuse", "kill"]) if chance.random() < 0.1 else None

    fake.fault = fault
    try:
        await (bench.look(1) if chance.random() < 0.6 else bench.changed())
    except LabelStudioLost:
        pass
    except Killed:
        await bench.restart()
    fake.fault = lambda request: None
