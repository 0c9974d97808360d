"""Datasets of the project as corpus and gold: people's labels are kept, a model's are not unless asked."""

from pathlib import Path

import numpy as np
import pytest
from factories import make_answer, make_count, make_dataset, make_label, make_row
from layout_samples import listing_of

from fo1_data.boxes import as_boxes
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.forms.own_dataset import load_own_manifest
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_gold
from fo1_data.dataset.versions.publish import publish
from fo1_data.judging.matching import make_pair, pair_rows
from schemas.images import Grounding, ImageRow
from schemas.labels import LabelKind, Source

HUMAN = make_label(text="written", source=Source.HUMAN, annotator="ann")
CONFIRMED = make_label(text="confirmed", annotator="ann")
BOXES = [(2.0, 2.0, 12.0, 12.0), (20.0, 4.0, 40.0, 24.0), (5.0, 30.0, 25.0, 44.0), (30.0, 28.0, 60.0, 46.0)]


def reviewed_row(folder: Path, **fields: object) -> ImageRow:
    """Region 0 is the model's, 1 was drawn by a person, 2 is confirmed, 3 came with the corpus."""
    row = make_row(1, boxes=BOXES, folder=folder)
    first, drawn, confirmed, given = row.regions
    regions = [
        first,
        drawn.model_copy(update={"box_source": Source.HUMAN, "labels": [HUMAN], "brief_caption": "written"}),
        confirmed.model_copy(update={"labels": [CONFIRMED], "brief_caption": "confirmed"}),
        given.model_copy(
            update={"box_source": Source.CORPUS, "source_label": "cat", "source_caption": "a cat"}
        ),
    ]
    (grounding,) = row.groundings
    mine = grounding.model_copy(
        update={
            "phrase": "the drawn one",
            "region_ids": [drawn.region_id],
            "label": make_label(kind=LabelKind.GROUND, text="x", source=Source.HUMAN),
        }
    )
    count = make_count(regions)
    parts = {
        "regions": regions,
        "groundings": [grounding, mine],
        "counts": [count, count.model_copy(update={"phrase": "cat", "label": CONFIRMED})],
        "answers": [make_answer(first.region_id)],
    }
    return row.model_copy(update={**parts, **fields})


@pytest.mark.parametrize("published", [False, True])
def test_what_people_say_is_kept(tmp_path: Path, published: bool) -> None:
    row = reviewed_row(tmp_path / "images")
    make_dataset(tmp_path / "made", [row, make_row(2, folder=tmp_path / "images")])
    if published:
        publish(str(tmp_path / "made"), str(tmp_path / "out"))
    listing = listing_of(tmp_path / ("out" if published else "made"))
    entry = next(entry for entry in listing.entries if entry.id == "image-1")
    other = next(entry for entry in listing.entries if entry.id == "image-2")
    regions = entry.regions or []
    assert [region.box_xyxy for region in regions] == BOXES[1:]
    assert [(region.label, region.caption) for region in regions] == [
        (None, "written"),
        (None, "confirmed"),
        ("cat", "a cat"),
    ]
    assert [(phrase.text, phrase.region_indices) for phrase in entry.phrases] == [("the drawn one", [0])]
    assert [(count.text, count.count) for count in entry.counts] == [("cat", 4)]
    assert (entry.answers, other.regions, other.phrases) == ([], None, [])
    assert read_bytes(entry, InputLimits()) == (tmp_path / "images/00001.png").read_bytes()
    assert (entry.inner is not None) == published
    (source,) = listing.sources
    assert source.found == {"images": 2, "boxes": 3, "captions": 3, "phrases": 1, "counts": 1}
    assert "3 boxes" in source.notes[0]
    assert not listing.rejects


def test_a_models_labels_are_kept_if_asked_for(tmp_path: Path) -> None:
    make_dataset(tmp_path / "made", [reviewed_row(tmp_path / "images")])
    (entry,) = load_gold(str(tmp_path / "made"), with_model_labels=True).entries
    assert [region.box_xyxy for region in entry.regions or []] == BOXES
    assert [phrase.text for phrase in entry.phrases] == ["a red square", "the drawn one"]
    assert entry.answers[0].region_index == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_right_whatever_the_orientation(tmp_path: Path, orientation: int) -> None:
    row = reviewed_row(tmp_path / "images", orientation=orientation)
    make_dataset(tmp_path / "made", [row])
    (entry,) = listing_of(tmp_path / "made").entries
    stored_wh = (entry.width or 0, entry.height or 0)
    boxes = as_boxes([region.box_xyxy for region in entry.regions or []])
    assert np.allclose(orient_boxes(boxes, stored_wh, orientation), BOXES[1:])
    pair = make_pair(row, entry)
    assert np.allclose([region.box_xyxy for region in pair.gold.regions or []], BOXES[1:])


def test_a_published_dataset_is_gold_of_the_one_it_is_made_of(tmp_path: Path) -> None:
    rows = [
        row.model_copy(update={"source_id": None})
        for row in (reviewed_row(tmp_path / "images"), make_row(2, folder=tmp_path / "images"))
    ]
    make_dataset(tmp_path / "made", rows)
    publish(str(tmp_path / "made"), str(tmp_path / "out"))
    gold = listing_of(tmp_path / "out").entries
    assert [len(pair.gold.regions or []) for pair in pair_rows(rows, gold)] == [3, 0]
    moved = [row.model_copy(update={"uri": "/elsewhere", "uris": ["/elsewhere"]}) for row in rows]
    assert len(list(pair_rows(moved, gold))) == 2


def test_a_visual_example_is_no_phrase(tmp_path: Path) -> None:
    """The phrase of such a label is the id of the example's region, which nobody is to be asked for."""
    row = reviewed_row(tmp_path / "images")
    first, _, confirmed, _ = row.regions
    label = make_label(kind=LabelKind.VISUAL_EXAMPLE, text=first.region_id, annotator="ann")
    example = Grounding(
        phrase=first.region_id, kind=label.kind, region_ids=[confirmed.region_id], label=label
    )
    make_dataset(tmp_path / "made", [row.model_copy(update={"groundings": [example], "answers": []})])
    listing = listing_of(tmp_path / "made")
    (entry,) = listing.entries
    assert (entry.phrases, listing.rejects) == ([], [])
    boxes = [region.box_xyxy for region in entry.regions or []]
    (found,) = entry.examples
    assert (boxes[found.region_index], [boxes[index] for index in found.region_indices]) == (
        first.box_xyxy,
        [confirmed.box_xyxy],
    )


def test_another_tools_manifest_and_a_missing_file(tmp_path: Path) -> None:
    make_dataset(tmp_path / "made", [reviewed_row(tmp_path / "images")])
    assert load_own_manifest(str(tmp_path / "images")) is None
    (tmp_path / "images/manifest.json").write_text('{"name": "web app"}')
    assert [entry.uri.rpartition("/")[2] for entry in listing_of(tmp_path / "images").entries] == [
        "00001.png",
        "manifest.json",
    ]
