"""A later run on corrected rows: what a person said stays to the letter, what is stale is asked again."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from fo1_data.dataset.human_labels import is_stale
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from fo1_data.synthetic.gold import write_scenes
from schemas.corrections import Correction
from schemas.jobs import RunConfig
from schemas.labels import LabelKind, Source

AT = "2026-11-24T10:00:00Z"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A labelled corpus, its corrected version, and a second run over the corrected one."""
    folder = tmp_path_factory.mktemp("locked")
    write_scenes(folder / "scenes", 2, 90, (3, 4))
    kinds = [LabelKind.BRIEF_CAPTION, LabelKind.DETECT, LabelKind.COUNT]
    settings = {"corpus": str(folder / "scenes"), "labels": kinds, "vocabulary": ["square", "whale"]}
    settings |= {"batch_images": 2}
    run_in_process(RunConfig(**settings, out=str(folder / "v1")), Unwatched())
    row = next(iter(open_dataset(str(folder / "v1")).rows()))
    said, moved, other = row.regions[:3]
    x0, y0, x1, y1 = moved.box_xyxy
    caption = {"kind": "brief_caption"}
    changes = [
        {"action": "recaptioned", "region_id": said.region_id, **caption, "after": {"text": "my word"}},
        {"action": "moved", "region_id": moved.region_id, "after": {"box_xyxy": (x0 + 1, y0 + 1, x1, y1)}},
        {"action": "added", "after": {"box_xyxy": (1, 1, 40, 40)}},
        {"action": "verdict", "region_id": other.region_id, **caption, "right": True},
    ]  # fmt: skip
    given = [Correction(**{"image_id": row.image_id, "at": AT, "annotator": "ada", **one}) for one in changes]
    merge_corrections(str(folder / "v1"), given, str(folder / "v2"))
    again = RunConfig(**settings, out=str(folder / "v3"), parent=str(folder / "v2"))
    run_in_process(again, Unwatched())
    return folder, row.image_id


def row_of(folder: Path, image_id: str):
    return next(row for row in open_dataset(str(folder)).rows() if row.image_id == image_id)


def test_what_a_person_said_is_not_touched(runs):
    folder, image_id = runs
    before, after = row_of(folder / "v2", image_id), row_of(folder / "v3", image_id)
    assert [r.region_id for r in before.regions] == [r.region_id for r in after.regions]
    said = [r for r in after.regions if r.brief_caption == "my word"]
    assert len(said) == 1
    assert said[0].labels == next(r for r in before.regions if r.brief_caption == "my word").labels
    confirmed = [label for r in after.regions for label in r.labels if label.annotator == "ada"]
    assert {label.source for label in confirmed} == {Source.HUMAN, Source.MODEL}


def test_stale_and_drawn_regions_are_asked_about(runs):
    folder, image_id = runs
    before, after = row_of(folder / "v2", image_id), row_of(folder / "v3", image_id)
    drawn = [r for r in after.regions if r.box_source is Source.HUMAN]
    assert len(drawn) == 2
    assert all(r.brief_caption and not any(is_stale(label) for label in r.labels) for r in drawn)
    assert sum(is_stale(label) for r in before.regions for label in r.labels) == 1
    assert before.regions[-1].brief_caption is None
    same = [r for r in after.regions if r.box_source is not Source.HUMAN]
    assert same == [r for r in before.regions if r.box_source is not Source.HUMAN]
    assert validate_dataset(str(folder / "v3")) == []


def test_phrases_that_lost_their_ground_are_asked_again(runs):
    """A box was added, so nobody knows whether a detection or a count means it."""
    folder, image_id = runs
    rows = [row_of(folder / name, image_id) for name in ("v2", "v3")]
    before, after = ([*row.groundings, *row.counts] for row in rows)
    assert len(before) == 4
    assert all(is_stale(part.label) for part in before)
    assert [(part.label.kind, part.phrase) for part in after] == [
        (part.label.kind, part.phrase) for part in before
    ]
    assert not any(is_stale(part.label) for part in after)
    ids = {region.region_id for region in rows[1].regions}
    assert all(set(part.region_ids) <= ids for part in after)


def test_the_corrections_go_along_and_the_next_merge_starts_from_them(runs):
    folder, image_id = runs
    before, after = (open_dataset(str(folder / name)).history() for name in ("v2", "v3"))
    assert len(after.corrections) == 4
    assert (after.corrections, after.originals) == (before.corrections, before.originals)
    name = row_of(folder / "v3", image_id).regions[0].region_id
    last = Correction(image_id=image_id, action="deleted", region_id=name, at="2026-11-25T10:00:00Z")
    report = merge_corrections(str(folder / "v3"), [last], str(folder / "v4"))
    assert {name: report.merged[name] for name in ("new", "deleted", "images")} == {
        "new": 1,
        "deleted": 1,
        "images": 1,
    }
    history = open_dataset(str(folder / "v4")).history()
    assert history.originals[image_id].regions == before.originals[image_id].regions
    first, last_row = row_of(folder / "v3", image_id), row_of(folder / "v4", image_id)
    assert [r.brief_caption for r in last_row.regions] == [r.brief_caption for r in first.regions[1:]]
    assert validate_dataset(str(folder / "v4")) == []
