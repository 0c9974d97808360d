"""Annotations that were once misread, each with what it says (`tests/cases/review/NAME`).

A folder holds `shown.json` (what the reviewer was shown), `result.json` (what Label Studio returned) and
`case.toml`: `about`, `says` (the corrections in short), `removed` (controls taken out of the project) and
`error` (why the annotation is set aside).
"""

import json
import tomllib
from pathlib import Path

import pytest

from schemas.corrections import Correction, parse_corrections
from services.label_studio.labelling_config import CONFIG, control_names
from services.label_studio.shown import ShownImage
from services.review.inbox.annotations import parse_annotation
from services.review.inbox.differences import Submission

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
    controls = control_names(CONFIG) - set(case.get("removed", []))
    submission = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z")
    parsed = parse_annotation(shown.packed(), result, submission, controls=controls)
    assert case.get("error", "") in (parsed.error or "")
    assert (parsed.error is None) == ("error" not in case), parsed.error
    corrections = parse_corrections(line for _, line in parsed.corrections)
    assert [in_short(correction) for correction in corrections] == case["says"]
