"""What people changed, as pairs and negatives: read by `datasets` and true to the last word."""

import json

import pytest
from factories import make_answer, make_count, make_dataset, make_row, make_shard
from made_up_tracks import make_clip

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.exports.preference_pairs import RowDiff
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.writer import open_run
from fo1_data.errors import DatasetError
from schemas.corrections import Correction
from schemas.images import Grounding
from schemas.labels import LabelKind


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def merged(tmp_path):
    row = make_row(3, num_regions=3, folder=tmp_path / "images")
    row = row.model_copy(update={"counts": [make_count(row.regions)]})
    make_dataset(tmp_path / "v1", [row, make_row(4, folder=tmp_path / "images")])
    ids = [region.region_id for region in row.regions]
    caption = {"region_id": ids[0], "kind": "brief_caption"}
    changes = [
        {"action": "recaptioned", **caption, "after": {"text": "a first word"}, "at": "2026-01-01"},
        {"action": "recaptioned", **caption, "after": {"text": "a whale"}},
        {"action": "deleted", "region_id": ids[1]},
        {"action": "moved", "region_id": ids[2], "after": {"box_xyxy": (1, 2, 30, 31)}},
        {"action": "added", "after": {"box_xyxy": (5, 5, 9, 9)}},
        {"action": "regrounded", "subject": "a red square", "after": {"region_ids": [ids[2]]}},
        {"action": "recounted", "subject": "shape", "after": {"count": 9}},
    ]
    given = [Correction(**{"image_id": row.image_id, "at": "2026-02-01", **one}) for one in changes]
    merge_corrections(str(tmp_path / "v1"), given, str(tmp_path / "v2"))
    return tmp_path, row


def test_pairs_and_negatives_of_what_was_changed(merged):
    folder, row = merged
    written = export_dataset(str(folder / "v2"), "preferences", str(folder / "out"))
    pairs = {one["kind"]: one for one in lines(folder / "out" / "preferences.jsonl")}
    assert written == {"preferences": 3, "hard_negatives": 5, "images": 1}
    caption = pairs["brief_caption"]
    assert caption["chosen"][0]["content"] == "a whale"
    assert caption["rejected"][0]["content"] == row.regions[0].brief_caption
    assert pairs["ground"]["chosen"][0]["content"] == "[1, 2, 30, 31]"
    assert (pairs["count"]["chosen"][0]["content"], pairs["count"]["rejected"][0]["content"]) == ("9", "3")
    negatives = lines(folder / "out" / "hard_negatives.jsonl")
    kinds = sorted(one["kind"] for one in negatives)
    assert kinds == ["false_region", "missed", "moved", "wrong_phrase", "wrong_text"]
    assert all((folder / "out" / one["image"]).is_file() for one in negatives)
    false = next(one for one in negatives if one["kind"] == "false_region")
    assert tuple(false["box_xyxy"]) == row.regions[1].box_xyxy


def diff_of(row, *changes):
    given = [
        Correction(**{"image_id": row.image_id, "at": "2026-02-01", "annotator": "ada", **one})
        for one in changes
    ]
    return RowDiff(row, apply_corrections(row, given).row, given)


def test_a_phrase_said_twice_is_corrected_once(tmp_path):
    row = make_row(3, num_regions=3)
    a, b, c = (region.region_id for region in row.regions)
    (one, *_) = row.groundings
    row.groundings = [
        one.model_copy(update={"phrase": "dog", "region_ids": [a]}, deep=True),
        one.model_copy(update={"phrase": "Dog", "region_ids": [b, c]}, deep=True),
    ]
    diff = diff_of(
        row,
        {
            "action": "regrounded",
            "subject": "Dog",
            "before": {"region_ids": [b, c]},
            "after": {"region_ids": [b]},
        },
    )
    assert [one["box_xyxy"] for one in diff.hard_negatives()] == [list(row.regions[2].box_xyxy)]
    (pair,) = diff.preferences()
    assert pair.rejected.count("[") == 2
    assert pair.chosen.count("[") == 1


def test_what_another_model_says_of_a_moved_box_is_no_persons_word():
    row = make_row(3, num_regions=1)
    now = row.model_copy(deep=True)
    now.regions[0].brief_caption = now.regions[0].labels[0].text = "another model's"
    assert list(RowDiff(row, now, []).hard_negatives()) == []


def test_an_answer_about_a_moved_box_and_a_count_spelled_otherwise_are_pairs():
    row = make_row(3, num_regions=1)
    (region,) = row.regions
    row.counts = [make_count(row.regions).model_copy(update={"phrase": "Dogs"})]
    row.answers = [make_answer(region.region_id)]
    box = (1, 2, 30, 31)
    pairs = diff_of(
        row,
        {"action": "moved", "region_id": region.region_id, "after": {"box_xyxy": box}},
        {
            "action": "answered",
            "subject": "What colour?",
            "region_id": region.region_id,
            "after": {"text": "a cat"},
        },
        {"action": "recounted", "subject": "dogs", "after": {"count": 9}},
    ).preferences()
    assert {(one.kind, one.chosen) for one in pairs} == {("ask", "a cat"), ("count", "9")}


def test_a_class_that_people_changed_is_a_pair_and_a_negative():
    row = make_row(3, num_regions=2)
    (region, _) = row.regions
    change = {"action": "renamed", "region_id": region.region_id, "before": {"text": "cat"}}
    again = {**change, "before": {"text": "dog"}, "after": {"text": "fox"}, "at": "2026-03-01"}
    diff = diff_of(row, {**change, "after": {"text": "dog"}}, again)
    (pair,) = diff.preferences()
    assert (pair.kind, pair.chosen, pair.rejected) == ("class", "fox", "cat")
    (negative,) = diff.hard_negatives()
    assert (negative["kind"], negative["text"], negative["right"]) == ("wrong_class", "cat", "fox")


def test_a_free_question_names_its_region_and_an_example_its_kind():
    row = make_row(3, num_regions=3)
    a, b, c = (region.region_id for region in row.regions)
    answer = make_answer(a)
    row.answers = [answer.model_copy(update={"question": "What colour is {region}?"})]
    (one, *_) = row.groundings
    label = one.label.model_copy(update={"kind": LabelKind.VISUAL_EXAMPLE})
    row.groundings = [Grounding(phrase=a, region_ids=[b, c], kind=LabelKind.VISUAL_EXAMPLE, label=label)]
    about, told = {"action": "answered", "region_id": a}, {"after": {"text": "red"}}
    shown, left = {"before": {"region_ids": [b, c]}}, {"after": {"region_ids": [b]}}
    diff = diff_of(
        row,
        {**about, "subject": "What colour is {region}?", **told},
        {"action": "regrounded", "kind": "visual_example", "subject": a, **shown, **left},
    )
    pairs = {one.kind: one for one in diff.preferences()}
    box = [round(side) for side in row.regions[0].box_xyxy]
    assert pairs["ask"].question == f"What colour is the region {box}?"
    assert str(box) in pairs["visual_example"].question
    assert [one["kind"] for one in diff.hard_negatives()] == ["wrong_example"]


def test_pairs_load_with_datasets(merged):
    datasets = pytest.importorskip("datasets")
    folder, _ = merged
    export_dataset(str(folder / "v2"), "preferences", str(folder / "out"))
    loaded = datasets.load_dataset(
        "json",
        data_files=str(folder / "out" / "preferences.jsonl"),
        cache_dir=str(folder / "cache"),
        split="train",
    )
    assert loaded.num_rows == 3
    assert {"prompt", "chosen", "rejected", "images"} <= set(loaded.column_names)


def test_a_dataset_without_corrections_has_none_to_export(tmp_path):
    make_dataset(tmp_path / "v1", [make_row(1)])
    with pytest.raises(DatasetError, match="holds no corrections"):
        export_dataset(str(tmp_path / "v1"), "preferences", str(tmp_path / "out"))


def test_reserved_tokens_of_a_text_are_broken_up(tmp_path):
    row = make_row(5, num_regions=2, folder=tmp_path / "images")
    make_dataset(tmp_path / "v1", [row])
    change = Correction(
        image_id=row.image_id, action="recaptioned", region_id=row.regions[0].region_id, kind="brief_caption",
        after={"text": "a sign that reads <image> <|im_end|>"}, at="2026-01-01",
    )  # fmt: skip
    merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2"))
    export_dataset(str(tmp_path / "v2"), "preferences", str(tmp_path / "out"))
    (pair,) = lines(tmp_path / "out" / "preferences.jsonl")
    assert pair["chosen"][0]["content"] == "a sign that reads <_image> <_|im_end|>"


def test_a_box_that_was_moved_with_its_track_is_moved_and_not_false(tmp_path):
    clip = make_clip(0, embed=True)
    run = open_run(str(tmp_path / "v1"), {"model_sha256": "aa"}, {})
    run.write_shard(make_shard(0), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    track = clip.tracks[0]
    frame = track.keyframes[0].frame
    x0, y0, x1, y1 = track.boxes_xyxy[track.frames.index(frame)]
    moved = Correction(
        image_id=clip.video.video_id, track_id=track.track_id, action="moved", frame=frame,
        after={"box_xyxy": (x0 + 1, y0, x1 + 1, y1)}, at="2026-02-01",
    )  # fmt: skip
    merge_corrections(str(tmp_path / "v1"), [moved], str(tmp_path / "v2"))
    export_dataset(str(tmp_path / "v2"), "preferences", str(tmp_path / "out"))
    (negative,) = lines(tmp_path / "out" / "hard_negatives.jsonl")
    assert (negative["kind"], negative["box_xyxy"]) == ("moved", [x0, y0, x1, y1])
    assert negative["right"] == [x0 + 1, y0, x1 + 1, y1]


def test_texts_that_publishing_left_out_are_not_wrong(tmp_path):
    row = make_row(3, num_regions=3, folder=tmp_path / "images")
    make_dataset(tmp_path / "v1", [row])
    changes = [
        {"action": "recaptioned", "after": {"text": "a whale"}},
        {"action": "verdict", "right": False},
    ]
    given = [
        Correction(
            image_id=row.image_id, region_id=region.region_id, kind="brief_caption", at="2026-02-01", **change
        )
        for region, change in zip(row.regions, changes, strict=False)
    ]
    merge_corrections(str(tmp_path / "v1"), given, str(tmp_path / "v2"))
    publish(str(tmp_path / "v2"), str(tmp_path / "published"), only_accepted=True)
    export_dataset(str(tmp_path / "published"), "preferences", str(tmp_path / "out"))
    negatives = lines(tmp_path / "out" / "hard_negatives.jsonl")
    texts = [region.brief_caption for region in row.regions]
    assert [(one["text"], one["right"]) for one in negatives] == [(texts[0], "a whale"), (texts[1], None)]
