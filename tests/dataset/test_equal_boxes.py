"""Regions with equal boxes stay apart in merges, exports, evaluation, comparisons, training and old files."""

import json
import tempfile
from pathlib import Path

import numpy as np
from factories import make_dataset, make_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_corrections import correct

from fo1_data.corpus.images import DecodedImage
from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.rows import record_to_row
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets, region_changes
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.evaluation.scores import evaluate
from fo1_data.labelling.rows import make_regions
from fo1_data.proposals.proposer import Proposals
from fo1_data.training.samples.row_gold import row_to_gold
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import ImageRow
from schemas.labels import Source

BOXES = [(0.0, 0.0, 8.0, 6.0), (3.5, 7.0, 12.5, 13.0), (20.0, 20.0, 40.0, 44.0)]
WORDS = ["cat", "pet", "dog", "animal", "poodle"]


@st.composite
def rows_of_equal_boxes(draw: st.DrawFn, folder: Path | None = None) -> ImageRow:
    """A row of up to five regions on three boxes, each region with a class and a caption of its own."""
    boxes = draw(st.lists(st.sampled_from(BOXES), min_size=1, max_size=len(WORDS)))
    row = make_row(3, boxes=boxes, folder=folder, groundings=[])
    for region, word in zip(row.regions, WORDS, strict=False):
        region.source_label, region.brief_caption, region.labels[0].text = word, f"a {word}", f"a {word}"
        region.box_source = Source.CORPUS
    return row


def words_of(row: ImageRow) -> list[str | None]:
    return [region.brief_caption for region in row.regions]


@settings(max_examples=40, deadline=None)
@given(rows_of_equal_boxes(), st.data())
def test_a_correction_changes_the_region_it_names_and_no_other(row: ImageRow, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(row.regions) - 1))
    region_id, words = row.regions[place].region_id, words_of(row)
    about = {"region_id": region_id, "kind": "brief_caption"}

    right = apply_corrections(row, [correct(row, "verdict", right=True, **about)]).row
    assert words_of(right) == words
    assert [bool(region.labels[0].annotator) for region in right.regions] == [
        index == place for index in range(len(words))
    ]
    text = apply_corrections(row, [correct(row, "recaptioned", after={"text": "a whale"}, **about)]).row
    assert words_of(text) == [*words[:place], "a whale", *words[place + 1 :]]
    deleted = apply_corrections(row, [correct(row, "deleted", region_id=region_id)]).row
    assert words_of(deleted) == [*words[:place], *words[place + 1 :]]
    assert region_changes(row, deleted) == {"added": [], "removed": [region_id], "relabelled": []}


@settings(max_examples=40, deadline=None)
@given(rows_of_equal_boxes())
def test_they_are_evaluated_and_trained_on_one_by_one(row: ImageRow) -> None:
    regions = [
        CorpusRegion(box_xyxy=region.box_xyxy, label=region.source_label, caption=region.brief_caption)
        for region in row.regions
    ]
    gold = CorpusImage(uri=row.uri, width=row.width, height=row.height, regions=regions)
    captions = evaluate([row], [gold])["captions"]
    assert isinstance(captions, dict)
    assert (captions["brief"], captions["num_brief"]) == (1.0, len(regions))
    assert row_to_gold(row)[0].regions == regions


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_dataset_of_them_is_merged_and_exported_whole(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row = data.draw(rows_of_equal_boxes(folder / "images"))
        make_dataset(folder / "v1", [row])
        assert validate_dataset(str(folder / "v1")) == []
        last = row.regions[-1].region_id
        verdict = correct(row, "verdict", region_id=last, kind="brief_caption", right=True)
        merge_corrections(str(folder / "v1"), [verdict], str(folder / "v2"))
        (merged,) = open_dataset(str(folder / "v2")).rows()
        assert words_of(merged) == words_of(row)
        assert [region.region_id for region in merged.regions] == [region.region_id for region in row.regions]
        changes = compare_datasets(str(folder / "v1"), str(folder / "v2")).regions[row.image_id]
        assert changes == {"added": [], "removed": [], "relabelled": [last]}

        export_dataset(str(folder / "v2"), "coco", str(folder / "coco"))
        document = json.loads((folder / "coco/train.json").read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        assert [names[annotation["category_id"]] for annotation in document["annotations"]] == [
            region.source_label for region in row.regions
        ]
        export_dataset(str(folder / "v2"), "yolo", str(folder / "yolo"))
        (lines,) = [path.read_text().splitlines() for path in (folder / "yolo/labels").rglob("*.txt")]
        assert sorted(line.split()[0] for line in lines) == [str(index) for index in range(len(row.regions))]


def test_boxes_are_numbered_when_a_row_is_made() -> None:
    boxes = np.array([BOXES[0], BOXES[1], BOXES[0], BOXES[0]], np.float32)
    image = make_row(3)
    decoded = DecodedImage(image.image_id, None, 64, 48, 1, (64, 48))  # type: ignore[arg-type]
    short = image.image_id[:16]
    assert [region.region_id for region in make_regions(decoded, Proposals(boxes))] == [
        f"{short}/0-0-80-60", f"{short}/35-70-125-130", f"{short}/0-0-80-60/2", f"{short}/0-0-80-60/3",
    ]  # fmt: skip


def test_rows_of_older_versions_are_read_with_ids_of_their_own() -> None:
    row = make_row(3, boxes=[BOXES[0], BOXES[0], BOXES[1]])
    old, other = row.regions[0].region_id, row.regions[2].region_id
    record = row.model_dump()
    record["regions"][1]["region_id"] = old
    record["groundings"][0]["region_ids"] = [old, other, old]
    read = record_to_row(record)
    assert [region.region_id for region in read.regions] == [old, f"{old}/2", other]
    assert read.groundings[0].region_ids == [old, other, f"{old}/2"]
    assert words_of(read) == words_of(row)
