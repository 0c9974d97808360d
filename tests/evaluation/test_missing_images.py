"""Gold images without a row are reported, and count as misses in the standard figures."""

import json

import pytest
from factories import make_count, make_dataset, make_label, make_reject, make_row
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.evaluation.scores import evaluate
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Grounding, ImageRow, RejectStage
from schemas.labels import LabelKind


def detection(row: ImageRow) -> Grounding:
    label = make_label(kind=LabelKind.DETECT, text="shape")
    ids = [region.region_id for region in row.regions]
    return Grounding(phrase="shape", kind=LabelKind.DETECT, region_ids=ids, label=label)


def labelled(seed: int, **fields) -> ImageRow:
    row = make_row(seed, width=200, height=150, uri=f"/made/{seed}.png", **fields)
    row.groundings = [*row.groundings, detection(row)]
    row.counts = [make_count(row.regions)]
    return row


def gold_of(row: ImageRow) -> CorpusImage:
    regions = [
        CorpusRegion(box_xyxy=region.box_xyxy, label="shape", caption=region.brief_caption)
        for region in row.regions
    ]
    return CorpusImage(
        uri=row.uri,
        id=row.source_id,
        width=row.width,
        height=row.height,
        regions=regions,
        phrases=[CorpusPhrase(text="a red square", region_indices=[0])],
        counts=[CorpusCount(text="shape", count=len(regions))],
    )


ROWS = [labelled(seed) for seed in range(4)]
GOLD = [gold_of(row) for row in ROWS]


def test_a_complete_dataset_misses_nothing():
    figures = evaluate(ROWS, GOLD)
    assert figures["missing"] == {"images": 0, "rejected": 0, "gold_images": 4}


def test_images_without_a_row_are_reported_and_counted_as_misses_beside_the_figures():
    whole, half = evaluate(ROWS, GOLD), evaluate(ROWS[:2], GOLD)
    missing = half["missing"]
    assert (missing["images"], missing["gold_images"]) == (2, 4)
    counted = missing["counted_as_misses"]
    for name in ("recall", "recall_75", "coco_mar_100"):
        assert half["proposals"][name] == whole["proposals"][name]
        assert counted["proposals"][name] == pytest.approx(half["proposals"][name] / 2, abs=0.01)
    assert counted["detections"]["map"] == pytest.approx(half["detections"]["map"] / 2, abs=0.01)
    assert (half["counts"]["exact"], counted["counts"]["exact"]) == (1, 0.5)
    assert (half["groundings"]["recall"], counted["groundings"]["recall"]) == (1, 0.5)
    referring = half["groundings"]["referring"]
    assert counted["groundings"]["accuracy_50"] == pytest.approx(referring["accuracy_50"] / 2)
    assert half["counts"] == evaluate(ROWS[:2], GOLD[:2])["counts"]


def test_questions_that_were_not_asked_are_not_missed():
    plain = [row.model_copy(update={"groundings": [], "counts": []}) for row in ROWS]
    counted = evaluate(plain[:2], GOLD)["missing"]["counted_as_misses"]
    assert set(counted) == {"proposals"}
    other = [row.model_copy(update={"phrase": "cat"}) for row in ROWS[0].counts]
    asked_cats = ROWS[1].model_copy(update={"counts": other})
    counted = evaluate([ROWS[0], asked_cats], GOLD)["missing"]["counted_as_misses"]
    assert counted["counts"]["exact"] == pytest.approx(1 / 3, abs=1e-5)
    of_others = [row.model_copy(update={"counts": other}) for row in ROWS[:2]]
    assert "counts" not in evaluate(of_others, GOLD)["missing"]["counted_as_misses"]


@pytest.mark.parametrize("size", [{}, {"width": None, "height": None}])
def test_invalid_boxes_of_a_missing_image_are_not_missed(size):
    nan = CorpusRegion(box_xyxy=(float("nan"), 0, 5, 5), label="shape")
    empty = CorpusRegion(box_xyxy=(5, 5, 5, 5), label="shape")
    wild = [CorpusPhrase(text="a red square", region_indices=[99]), *GOLD[2].phrases]
    odd = GOLD[2].model_copy(update={"regions": [*GOLD[2].regions, nan, empty], "phrases": wild, **size})
    plain, counted = (evaluate(ROWS[:2], [*GOLD[:2], entry])["missing"] for entry in (GOLD[2], odd))
    assert counted["counted_as_misses"]["proposals"] == plain["counted_as_misses"]["proposals"]
    shares = GOLD[2].model_copy(
        update={"box_unit": "share", "regions": [CorpusRegion(box_xyxy=(0.1, 0.1, 0.5, 0.5))], "width": None}
    )
    shared = evaluate(ROWS[:2], [*GOLD[:2], shares])["missing"]["counted_as_misses"]
    assert shared["proposals"]["recall"] == pytest.approx(4 / 5, abs=0.01)


def test_another_address_of_the_same_bytes_is_not_missing():
    row = ROWS[0].model_copy(update={"uris": [ROWS[0].uri, "/made/copy.png"]})
    copy = GOLD[0].model_copy(update={"uri": "/made/copy.png", "id": None})
    assert evaluate([row], [GOLD[0], copy])["missing"]["images"] == 0
    moved = [
        entry.model_copy(update={"uri": entry.uri.replace("made", "moved"), "id": None})
        for entry in (GOLD[0], copy)
    ]
    assert evaluate([row], moved)["missing"]["images"] == 0


def test_the_command_reports_missing_and_rejected_images(tmp_path):
    rejects = [
        make_reject(GOLD[2].uri),
        make_reject(GOLD[0].uri, stage=RejectStage.BOX),
    ]
    make_dataset(tmp_path / "d", ROWS[:2], rejects)
    gold = tmp_path / "gold.jsonl"
    lines = [
        {"image": entry.uri, "width": entry.width, "height": entry.height,
         "regions": [{"box_xyxy": list(region.box_xyxy), "label": region.label} for region in entry.regions]}
        for entry in GOLD
    ]  # fmt: skip
    gold.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "d"), "--gold", str(gold), "--json"])
    assert result.exit_code == 0, result.stderr
    missing = json.loads(result.stdout)["missing"]
    assert (missing["images"], missing["rejected"]) == (2, 1)
    assert "2 of 4 gold images are missing in the dataset (1 of them rejected)" in result.stderr
    assert "counted as misses" in result.stderr
