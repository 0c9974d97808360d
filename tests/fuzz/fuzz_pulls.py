"""Whole pulls from a Label Studio in memory: each annotation is stored once, whole, and used or set aside."""

import asyncio
import copy
import json
import random
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_label_studio import FakeLabelStudio
from fuzz_target import Runner, check
from fuzz_tracks import result_as_edited
from made_corpora import Marks, marks_in
from odd_values import change, num_changes, odd_value
from review_bench import URL, Bench, make_review_dataset, open_bench
from running_service import make_settings
from sqlalchemy import select

from fo1_data.dataset.writer import open_run
from schemas.corrections import CorrectionAction
from schemas.reviews import AnnotationState
from services.database.engine import open_database
from services.database.review_tables import ReviewedAnnotation
from services.home import DATABASE_FILE
from services.label_studio.client import LabelStudio

_TOKEN = "t" * 40
_ODD_FIELDS = ("completed_by", "lead_time", "ground_truth", "parent_prediction", "result", "extra")
_ASIDE = (AnnotationState.SET_ASIDE, AnnotationState.UNREADABLE)


@contextmanager
def pulls(folder: Path) -> Iterator[Runner]:
    dataset, _ = make_review_dataset(folder / "made", 3)
    of_images = _Pushed.of(folder / "images", dataset)
    of_tracks = _Pushed.of(folder / "tracks", _track_dataset(folder / "videos"), tracks=True)
    home = folder / "run" / "home"

    def run(chance: random.Random) -> str:
        is_of_tracks = chance.random() < 0.3
        pushed = of_tracks if is_of_tracks else of_images
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / DATABASE_FILE).write_bytes(pushed.database)
        fake = copy.deepcopy(pushed.fake)
        _annotate(fake, chance, is_of_tracks)
        became = asyncio.run(_pull(home, fake, pushed.review_id, chance))
        return f"{became}{', of tracks' if is_of_tracks else ''}"

    yield run


@dataclass(frozen=True)
class _Pushed:
    """A review that was pushed: what Label Studio and the database have."""

    fake: FakeLabelStudio
    review_id: str
    database: bytes

    @classmethod
    def of(cls, folder: Path, dataset: Path, **options: Any) -> "_Pushed":
        fake = FakeLabelStudio()
        review_id = asyncio.run(_push(folder / "home", dataset, fake, options))
        return cls(fake, review_id, (folder / "home" / DATABASE_FILE).read_bytes())


async def _push(home: Path, dataset: Path, fake: FakeLabelStudio, options: dict[str, Any]) -> str:
    async with open_bench(home, dataset, fake, **options) as bench:
        await bench.push.run(bench.review_id)
        return bench.review_id


def _track_dataset(folder: Path) -> Path:
    """A dataset of three videos with one to three tracks."""
    from factories import make_shard
    from made_up_tracks import make_clip

    clips = [make_clip(seed, num_tracks=seed + 1) for seed in range(3)]
    run = open_run(str(folder), {"model_sha256": "aa"}, {})
    tracks = [track for clip in clips for track in clip.tracks]
    rows = [row for clip in clips for row in clip.rows]
    run.write_shard(make_shard(0), rows, [], "t", tracks=tracks, videos=[clip.video for clip in clips])
    run.seal("made-up")
    return folder


def _annotate(fake: FakeLabelStudio, chance: random.Random, is_of_tracks: bool) -> None:
    """People submit, edit and skip; other programs write."""
    marks = Marks()
    for task in fake.tasks.values():
        for person in range(chance.choice((0, 1, 1, 2))):
            result = copy.deepcopy(task["predictions"][0]["result"])
            if is_of_tracks:
                result = result_as_edited(result, chance)
            for entry in [] if is_of_tracks else result:
                if "text" in entry["value"] and chance.random() < 0.3:
                    entry["value"]["text"] = [marks.next()]
            change(result, chance, 0 if is_of_tracks else num_changes(chance))
            fields = {name: odd_value(chance) for name in _ODD_FIELDS if chance.random() < 0.03}
            number = fake.annotate(task, result, person + 1, was_cancelled=chance.random() < 0.1)
            fake.change(task, number, **fields)


async def _pull(home: Path, fake: FakeLabelStudio, review_id: str, chance: random.Random) -> str:
    settings = make_settings(home, label_studio_url=URL, label_studio_token=_TOKEN)
    bench = Bench(
        settings, open_database(settings), LabelStudio(URL, _TOKEN, transport=fake, pause_s=0.0), review_id, 4
    )
    try:
        there = {entry["id"]: entry for task in fake.tasks.values() for entry in task["annotations"]}
        summary = await bench.changed()
        check(summary.created == len(there), summary, "of", len(there))
        rows = await _rows(bench)
        _check_rows(rows, there)
        said = await bench.corrections(everyone=True)
        _check_corrections(rows, [part.model_dump(mode="json") for part in said])
        again = await bench.changed()
        check(again.created == again.updated == again.deleted == 0, "the second pull:", again)
        check(await bench.corrections(everyone=True) == said, "other corrections the second time")
        if chance.random() < 0.2:
            await _delete_all(bench, fake, len(there))
    finally:
        await bench.client.close()
        await bench.database.dispose()
    states = Counter(str(row.state) for row in rows)
    return max(states, key=lambda state: states[state]) if states else "none"


async def _rows(bench: Bench) -> Sequence[ReviewedAnnotation]:
    async with bench.database.reading() as session:
        return (await session.scalars(select(ReviewedAnnotation))).all()


def _check_rows(rows: Sequence[ReviewedAnnotation], there: dict[int, dict[str, Any]]) -> None:
    """Each annotation is stored once, whole, with a reason if it is not used."""
    check(sorted(row.ls_annotation_id for row in rows) == sorted(there), "lost or doubled", list(there))
    for row in rows:
        kept, given = json.loads(zlib.decompress(row.result)), there[row.ls_annotation_id]["result"]
        check(
            json.dumps(kept) == json.dumps(given if isinstance(given, list) else []) or kept == given,
            kept,
            given,
        )
        check((row.state in _ASIDE) == bool(row.reason and row.error), row.state, row.reason, row.error)
    chosen = Counter(row.item_id for row in rows if row.chosen)
    check(all(num == 1 for num in chosen.values()), "two of one item are chosen")


def _check_corrections(rows: Sequence[ReviewedAnnotation], said: list[dict[str, Any]]) -> None:
    """Corrections are of annotations that are used; of these, each text is in one, or is named."""
    used = {str(row.ls_annotation_id): row for row in rows if row.state == AnnotationState.SUBMITTED}
    by_annotation: dict[str, list[Any]] = {number: [] for number in used}
    for part in said:
        if part["action"] != CorrectionAction.WITHDRAWN:
            number = part["annotation_key"].rpartition("/")[2]
            check(number in used, "a correction of an annotation that is not used:", part)
            by_annotation[number].append(part)
    for number, row in used.items():
        texts = [
            entry["value"]["text"]
            for entry in json.loads(zlib.decompress(row.result))
            if isinstance(entry.get("value"), dict) and isinstance(entry["value"].get("text"), list)
        ]
        known = marks_in([by_annotation[number], row.comment, row.ignored])
        check(not marks_in(texts) - known or bool(row.ignored), "texts are lost:", texts, known)


async def _delete_all(bench: Bench, fake: FakeLabelStudio, num: int) -> None:
    for task in fake.tasks.values():
        for entry in list(task["annotations"]):
            fake.delete(task, entry["id"])
    summary = await bench.changed()
    check(summary.deleted == num, summary, "deleted of", num)
    left = {part.action for part in await bench.corrections(everyone=True)}
    check(left <= {CorrectionAction.WITHDRAWN}, "still there:", left)
