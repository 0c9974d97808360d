"""Annotations that were once misread, each with what it says (`tests/cases/review/NAME`).

A folder holds `shown.json` (what the reviewer was shown), `result.json` (what Label Studio returned) and
`case.toml`: `about`, `says` (the corrections in short), `removed` (fields taken out of the project),
`from_prediction`, `untimed`, `reason` and `error` (why the annotation is set aside), `effects` (what it would
do once taken in).
"""

import json
import tomllib
from pathlib import Path

import pytest

from schemas.corrections import Correction, parse_corrections
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import CONFIG
from services.label_studio.shown import ShownImage
from services.review.inbox.annotations import judge_annotation
from services.review.inbox.belief import Origin
from services.review.inbox.submission import Submission

CASES = sorted((Path(__file__).parents[2] / "cases" / "review").iterdir())


def in_short(correction: Correction) -> str:
    words: list[str | None] = [correction.action.value]
    if correction.right is not None:
        words.append("right" if correction.right else "wrong")
    words += [correction.region_id, correction.kind.value if correction.kind else None, correction.subject]
    if correction.action.value == "regrounded":
        words.remove("ground")
    value = correction.after or correction.before
    text = (
        " ".join(value.region_ids)
        if value and correction.after and value.region_ids
        else value and value.text
    )
    return " ".join(word for word in words if word) + (f": {text}" if text else "")


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_an_annotation_says(folder: Path) -> None:
    case = tomllib.loads((folder / "case.toml").read_text())
    shown = ShownImage.model_validate_json((folder / "shown.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    pushed = parse_fields(CONFIG)
    present = {name: part for name, part in pushed.items() if name not in case.get("removed", [])}
    submission = Submission(
        "key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", None if case.get("untimed") else 3.5
    )
    origin = Origin(ProjectFields(present, pushed), case.get("from_prediction", False))
    judged = judge_annotation(shown.packed(), result, submission, origin)
    assert (judged.reason or "") == case.get("reason", ""), judged.error
    assert case.get("error", "") in (judged.error or "")
    corrections = parse_corrections(line for _, line in judged.lines())
    assert [in_short(correction) for correction in corrections] == case["says"]
    if "effects" in case:
        assert judged.effects == case["effects"]
