"""Corrections of people, of any row, in any order: what was said last is in the row, and the row is sound."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataset_corpora import own_rows
from fuzz_target import Runner, check
from made_corpora import Marks, marks_in
from odd_values import change
from pydantic import ValidationError

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.corrections.latest import latest
from fo1_data.dataset.row_problems import row_problems
from schemas.corrections import Correction, CorrectionAction, correction_line, parse_corrections
from schemas.images import ImageRow
from schemas.labels import LabelKind

_ACTIONS = [
    action
    for action in CorrectionAction
    if action not in (CorrectionAction.SPLIT, CorrectionAction.JOINED, CorrectionAction.WITHDRAWN)
]
_TEXTS = (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR)


@contextmanager
def corrections(folder: Path) -> Iterator[Runner]:
    row = ImageRow.model_validate(own_rows()[1])

    def run(chance: random.Random) -> str:
        said = _corrections(row, chance)
        before = row.model_dump_json()
        applied = apply_corrections(row, said)
        check(row.model_dump_json() == before, "the row that was given is another now")
        chance.shuffle(said)
        check(apply_corrections(row, said) == applied, "another order, another row:", said)
        known = {correction.correction_id for correction in latest(said) if _is_about(correction, row)}
        told = [correction.correction_id for correction in (*applied.done, *applied.left_out)]
        check(sorted(told) == sorted(known), "corrections are lost, or come twice:", said)
        check(list(row_problems(applied.row, row.split)) == [], list(row_problems(applied.row)), said)
        text = applied.row.model_dump_json()
        check(ImageRow.model_validate_json(text) == applied.row, "does not survive JSON:", text)
        if applied.done:
            _check_last(applied.row, applied.done[-1])
        return f"{'some' if applied.left_out else 'none'} left out of {min(len(known), 3)} or more"

    yield run


def _is_about(correction: Correction, row: ImageRow) -> bool:
    return correction.image_id == row.image_id and not correction.is_of_track


def _check_last(row: ImageRow, last: Correction) -> None:
    """What was said last of all is what the row says now."""
    if last.action in (CorrectionAction.RECAPTIONED, CorrectionAction.ANSWERED, CorrectionAction.RENAMED):
        said = marks_in([last.model_dump(mode="json")["after"]])
        lost = said - marks_in([row.model_dump(mode="json")])
        check(not lost or last.after is None or not last.after.text, "lost:", lost, last)
    if last.action is CorrectionAction.DELETED and last.region_id is not None:
        check(all(region.region_id != last.region_id for region in row.regions), "still there:", last)
    if last.action in (CorrectionAction.ADDED, CorrectionAction.MOVED):
        boxes = [region.box_xyxy for region in row.regions]
        check(bool(boxes), "no box is there:", last)


def _corrections(row: ImageRow, chance: random.Random) -> list[Correction]:
    """Some, of which those that are changed beyond a form of corrections are left out; none comes twice."""
    marks = Marks()
    said: dict[str, Correction] = {}
    for _ in range(chance.randint(1, 8)):
        document = _document(row, chance, marks)
        if chance.random() < 0.3:
            change(document, chance, chance.choice((1, 1, 2)))
        try:
            correction = Correction.model_validate(copy.deepcopy(document))
            (again,) = parse_corrections([correction_line(correction)])
        except (ValidationError, ValueError, OverflowError):
            continue
        check(again.correction_id == correction.correction_id, "another one as a line:", correction)
        said[correction.correction_id] = correction
    return list(said.values())


def _document(row: ImageRow, chance: random.Random, marks: Marks) -> dict[str, Any]:
    action = chance.choice(_ACTIONS)
    region = chance.choice(row.regions)
    box = _box(row, chance)
    subjects = [part.phrase for part in (*row.groundings, *row.counts)] + [a.question for a in row.answers]
    kind = chance.choice((*_TEXTS, *LabelKind))
    after: dict[str, Any] = {}
    if action in (CorrectionAction.MOVED, CorrectionAction.ADDED):
        after["box_xyxy"] = box
    elif action is CorrectionAction.REGROUNDED:
        after["region_ids"] = [part.region_id for part in row.regions if chance.random() < 0.5]
    elif action is CorrectionAction.RECOUNTED:
        after["count"] = chance.randint(0, 9)
    elif action not in (CorrectionAction.VERDICT, CorrectionAction.DELETED):
        after["text"] = marks.next()
    of_region = action in (CorrectionAction.MOVED, CorrectionAction.DELETED, CorrectionAction.RENAMED)
    return {
        "image_id": row.image_id if chance.random() > 0.05 else "0" * 64,
        "action": action.value,
        "region_id": region.region_id if of_region or chance.random() < 0.5 else None,
        "kind": kind.value if action in (CorrectionAction.VERDICT, CorrectionAction.RECAPTIONED) else None,
        "subject": chance.choice([*subjects, "another"]),
        "right": chance.random() < 0.5 if action is CorrectionAction.VERDICT else None,
        "after": after or None,
        "annotator": chance.choice(("ann", "bob", None)),
        "at": f"2026-01-02T03:04:0{chance.randint(0, 9)}Z",
        "annotation_key": chance.choice(("", "rev/1", "rev/2")),
        "ground_truth": chance.random() < 0.1,
    }


def _box(row: ImageRow, chance: random.Random) -> list[float]:
    if chance.random() < 0.2:
        return list(chance.choice(row.regions).box_xyxy)
    x, y = chance.random() * row.width * 0.9, chance.random() * row.height * 0.9
    return [x, y, min(x + 1 + 20 * chance.random(), row.width), min(y + 1 + 9 * chance.random(), row.height)]
