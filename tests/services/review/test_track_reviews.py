"""Reviews of tracks without a server: what is shown of a video, and what an annotation of it says."""

import copy
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tracks import make_clip

from fo1_data.dataset.corrections.track_labels import answered
from fo1_data.dataset.corrections.tracks import correct_tracks
from fo1_data.errors import DatasetError
from schemas.corrections import Correction, split_track_id
from schemas.labels import Decision, Label, LabelKind
from schemas.regions import Box
from schemas.reviews import ReviewOptions
from schemas.tracks import Shot, TrackAnswer
from services.label_studio.annotated import parse_result
from services.label_studio.convert import ls_task, result_of
from services.label_studio.fields import parse_fields
from services.label_studio.labelling_config import TEXT_FIELDS, control_names
from services.label_studio.shown import ShownClip, ShownImage, ShownTrack, fields_of, unpack
from services.label_studio.shown_from_rows import shown_image
from services.label_studio.video_config import video_config, with_video_fields
from services.label_studio.video_results import filled_boxes, shown_boxes, track_value
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission
from services.review.outbox import track_parts
from services.review.outbox.plan import plan_items
from services.review.outbox.track_parts import parts_of_video

CLIP = make_clip(0)
FIRST, SECOND = (track.track_id for track in CLIP.tracks)
SUBMISSION = Submission("key/1", "ada", "2026-11-29T10:00:00Z", 9.0)


def shown_clip() -> ShownImage:
    (part,) = parts_of_video(CLIP.video, CLIP.tracks)
    shown = shown_image(part.row())
    part.add_boxes(shown)
    return unpack(shown.packed())


def said(shown: ShownImage, result: Sequence[dict[str, Any]]) -> list[Correction]:
    return corrections_of(shown, parse_result(result, shown), SUBMISSION)


def changes(corrections: Sequence[Correction]) -> list[Correction]:
    return [part for part in corrections if part.action != "verdict"]


def entry(result: Sequence[dict[str, Any]], mark: str, kind: str = "videorectangle") -> dict[str, Any]:
    return next(part for part in result if (part["id"], part["type"]) == (mark, kind))


def test_what_was_left_untouched_is_confirmed_and_nothing_else() -> None:
    shown = shown_clip()
    found = said(shown, result_of(shown))
    assert [(part.action, part.track_id, part.region_id, part.right) for part in found] == [
        ("verdict", FIRST, None, True),
        ("verdict", SECOND, None, True),
    ]
    assert {part.image_id for part in found} == {CLIP.video.video_id}


def test_answers_about_tracks_are_confirmed_changed_and_emptied() -> None:
    label = Label(kind=LabelKind.ASK, text="red", decision=Decision.REVIEW)
    questions = [("What colour is {region}?", "red"), ("Does it move?", "yes"), ("Is it {region}?", "no")]
    answers = [TrackAnswer(question=question, answer=text, label=label) for question, text in questions]
    tracks = [CLIP.tracks[0].model_copy(update={"answers": answers}), CLIP.tracks[1]]
    (part,) = parts_of_video(CLIP.video, tracks)
    shown = shown_image(part.row())
    part.add_boxes(shown)
    result = json.loads(json.dumps(result_of(shown)))
    field = entry(result, "answers", "textarea")
    assert (field["to_name"], field["from_name"] in control_names(video_config(fields_of(shown)))) == (
        "video",
        True,
    )
    untouched = said(shown, result)
    assert {(part.action, part.right) for part in untouched} == {("verdict", True)}
    assert [part.subject for part in untouched if part.kind is LabelKind.ASK] == [q for q, _ in questions]

    entries = field["value"]["text"]
    entries[0] = entries[0].replace("\nred", "\nblue")
    del entries[1]
    about = {part.subject: part for part in said(shown, result) if part.kind is LabelKind.ASK}
    first, second, third = (about[question] for question, _ in questions)
    assert (first.action, first.after and first.after.text) == ("answered", "blue")
    assert (second.right, third.right) == (False, True)
    assert {part.track_id for part in about.values()} == {FIRST}
    corrected = answered(tracks[0], first)
    assert corrected is not None
    assert [answer.answer for answer in corrected.answers] == ["blue", "yes", "no"]


def test_key_frames_have_all_numbers_and_end_at_gaps() -> None:
    shown = shown_clip()
    value = entry(result_of(shown), SECOND)["value"]
    assert (value["framesCount"], value["duration"], value["labels"]) == (30, 1.2, ["region"])
    numbers = {"frame", "time", "enabled", "rotation", "x", "y", "width", "height"}
    assert all(set(key) == numbers for key in value["sequence"])
    assert [key["frame"] for key in value["sequence"]] == [*range(1, 6), *range(9, 21)]
    assert [key["frame"] for key in value["sequence"] if not key["enabled"]] == [5, 20]


def test_a_caption_a_box_a_frame_and_a_deleted_track_come_back() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    entry(result, FIRST, "textarea")["value"]["text"] = ["a blue square"]
    moved = entry(result, FIRST)["value"]["sequence"][3]
    moved["x"] += 6.25
    result = [part for part in result if part["id"] != SECOND]
    found = changes(said(shown, result))
    assert {(part.action.value, part.track_id, part.frame) for part in found} == {
        ("recaptioned", FIRST, None),
        ("moved", FIRST, 3),
        ("deleted", SECOND, None),
    }
    box = next(part for part in found if part.action == "moved")
    assert box.before is not None
    assert box.after is not None
    assert box.before.box_xyxy == pytest.approx(CLIP.tracks[0].boxes_xyxy[3], abs=1e-6)
    assert box.after.box_xyxy is not None
    assert box.after.box_xyxy[0] == pytest.approx(CLIP.tracks[0].boxes_xyxy[3][0] + 4, abs=0.01)


def test_a_track_that_ends_early_loses_its_last_frames() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    sequence = entry(result, FIRST)["value"]["sequence"]
    del sequence[18:]
    sequence[-1]["enabled"] = False
    found = changes(said(shown, result))
    assert [(part.action.value, part.frame) for part in found] == [("deleted", 18), ("deleted", 19)]


def test_a_new_track_that_takes_over_the_rest_is_a_cut() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    old = entry(result, FIRST)
    new = copy.deepcopy(old) | {"id": "drawn"}
    new["value"]["sequence"] = old["value"]["sequence"][10:]
    old["value"]["sequence"] = old["value"]["sequence"][:10]
    old["value"]["sequence"][-1]["enabled"] = False
    text = copy.deepcopy(entry(result, FIRST, "textarea")) | {"id": "drawn"}
    text["value"]["text"] = ["a green ball"]
    found = changes(said(shown, [*result, new, text]))
    part = split_track_id(FIRST, 10)
    assert [(c.action.value, c.track_id, c.frame) for c in found] == [
        ("split", FIRST, 10),
        ("recaptioned", part, None),
    ]


def test_a_drawn_track_is_added_frame_by_frame_in_a_straight_line() -> None:
    shown = shown_clip()
    half = {"rotation": 0, "time": 0.1, "width": 50, "height": 50}
    keys = [
        half | {"frame": 2, "enabled": True, "x": 0, "y": 0},
        half | {"frame": 4, "enabled": False, "x": 50, "y": 50},
    ]
    drawn = {"id": "abc", "from_name": "box", "to_name": "video", "type": "videorectangle"}
    found = changes(said(shown, [*result_of(shown), drawn | {"value": {"sequence": keys, "labels": []}}]))
    assert [(part.action.value, part.frame) for part in found] == [("added", 1), ("added", 2), ("added", 3)]
    assert {part.track_id for part in found} == {f"{CLIP.video.video_id[:16]}/p{'ba7816bf8f01'}"}
    boxes = [part.after.box_xyxy for part in found if part.after is not None]
    assert boxes == [(0, 0, 32, 24), (16, 12, 48, 36), (32, 24, 64, 48)]


def test_key_frames_that_cannot_be_read_say_nothing_of_their_track() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    entry(result, FIRST)["value"]["sequence"][2]["frame"] = "third"
    annotated = parse_result(result, shown)
    assert annotated.marks_not_read == {FIRST}
    assert annotated.not_read == ["the key frames of box 1"]
    assert {part.track_id for part in said(shown, result)} == {SECOND}


def cut(result: list[dict[str, Any]], mark: str, frame: int, new: str) -> None:
    """A person ends a track before a frame and draws the rest as a new one."""
    old = next(part for part in result if (part["id"], part["type"]) == (mark, "videorectangle"))
    rest = copy.deepcopy(old) | {"id": new}
    keys = old["value"]["sequence"]
    rest["value"]["sequence"] = [key for key in keys if key["frame"] > frame]
    old["value"]["sequence"] = [key for key in keys if key["frame"] <= frame]
    old["value"]["sequence"][-1]["enabled"] = False
    result.append(rest)


def corrected(found: Sequence[Correction]) -> dict[str, list[int]]:
    tracks = correct_tracks(CLIP.video, CLIP.tracks, found)
    assert tracks.left_out == []
    return {track.track_id: track.frames for track in tracks.tracks}


def test_a_track_that_is_cut_twice_has_three_parts() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    cut(result, FIRST, 5, "second")
    cut(result, "second", 12, "third")
    found = changes(said(shown, result))
    assert sorted((part.action.value, part.frame) for part in found) == [("split", 5), ("split", 12)]
    parts = {name: frames for name, frames in corrected(found).items() if name.startswith(FIRST)}
    assert parts == {
        FIRST: [*range(5)],
        split_track_id(FIRST, 5): [*range(5, 12)],
        split_track_id(FIRST, 12): [*range(12, 20)],
    }


def test_of_two_copies_of_a_part_one_is_a_track_of_its_own() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    cut(result, FIRST, 10, "drawn")
    result.append(copy.deepcopy(result[-1]) | {"id": "again"})
    found = changes(said(shown, result))
    assert [part.frame for part in found if part.action == "split"] == [10]
    frames = [frames for name, frames in corrected(found).items() if name != SECOND]
    assert sorted(frames) == [[*range(10)], [*range(10, 20)], [*range(10, 20)]]


def test_a_track_that_comes_twice_under_its_own_id_is_one() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    doubled = copy.deepcopy(entry(result, FIRST))
    assert said(shown, [*result, doubled]) == said(shown, result)
    doubled["value"]["sequence"][0]["x"] += 5
    assert parse_result([*result, doubled], shown).not_read == ["a second shape of box 1"]


def test_a_drawn_track_over_a_cut_of_the_video_keeps_the_shot_in_which_it_begins() -> None:
    shown = shown_clip()
    box = {"rotation": 0, "x": 20, "y": 30, "width": 10, "height": 10}
    keys = [box | {"frame": 15, "enabled": True}, box | {"frame": 25, "enabled": False}]
    for number in range(4):
        drawn = {"id": f"new{number}", "from_name": "box", "to_name": "video", "type": "videorectangle"}
        result = [*result_of(shown), drawn | {"value": {"sequence": keys, "labels": []}}]
        tracks = correct_tracks(CLIP.video, CLIP.tracks, said(shown, result))
        assert [track.frames for track in tracks.tracks if "/p" in track.track_id] == [[*range(14, 20)]]
        assert sorted(part.frame or 0 for part in tracks.left_out) == [*range(20, 25)]


@pytest.mark.parametrize("odd", [{"type": "rectanglelabels"}, {"value": {}}, {"value": None}])
def test_a_track_of_another_form_is_not_taken_for_a_deleted_one(odd: dict[str, Any]) -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    changed = entry(result, FIRST)
    changed |= odd
    if "type" in odd:
        changed["value"]["sequence"] = []
    assert parse_result(result, shown).not_read[0] == "the key frames of box 1"
    assert changes(said(shown, result)) == []


def test_labels_that_are_no_list_are_not_left_out_without_a_word() -> None:
    shown = shown_clip()
    result = copy.deepcopy(result_of(shown))
    entry(result, FIRST)["value"]["labels"] = "car"
    assert parse_result(result, shown).not_read == ["the labels of box 1"]


sides = st.floats(1, 32, width=32, allow_nan=False)
corners = st.floats(0, 32, width=32, allow_nan=False)
boxes = st.tuples(corners, corners, sides, sides).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@st.composite
def tracks(draw: st.DrawFn) -> ShownTrack:
    every = draw(st.integers(1, 4))
    steps = draw(st.lists(st.sampled_from([every, every, every, every + 1, 9]), max_size=12))
    frames = [draw(st.integers(0, 5))]
    for step in steps:
        frames.append(frames[-1] + step)
    return ShownTrack(frames=frames, boxes_xyxy=[draw(boxes) for _ in frames], every=every)


@settings(max_examples=150, deadline=None)
@given(tracks(), st.randoms(use_true_random=False))
def test_any_track_comes_back_in_its_frames_to_a_hundredth_of_a_pixel(track: ShownTrack, random: Any) -> None:
    clip = ShownClip(num_frames=track.frames[-1] + 3, fps=12.5, duration_s=9.0)
    value = track_value(track, clip, (64, 64))
    random.shuffle(value["sequence"])
    back = shown_boxes(value, clip.num_frames, (64, 64))
    assert back is not None
    assert list(back) == sorted(filled_boxes(track))
    for frame, box in filled_boxes(track).items():
        assert back[frame] == pytest.approx(box, abs=0.01)
    assert set(track.frames) <= set(back)
    for first, second in pairwise(track.frames):
        if second - first > track.every:
            assert not set(range(first + 1, second)) & set(back)


def test_the_configuration_has_the_texts_that_tracks_have() -> None:
    config = video_config(fields_of(shown_clip()))
    assert {"box", "verdict", "brief_caption", "comment", "track_label"} <= control_names(config)
    assert "detailed_caption" not in control_names(config)
    assert control_names(with_video_fields(config, TEXT_FIELDS.values())) >= set(TEXT_FIELDS.values())
    assert parse_fields(config)["box"].tag == "VideoRectangle"
    task = ls_task(shown_clip(), "key", "https://here/v.mp4", "1")
    assert (task["data"]["video"], task["data"]["fps"]) == ("https://here/v.mp4", 25.0)


def test_long_videos_are_divided_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_parts, "MOST_TRACKS", 2)
    later = [
        track.model_copy(update={"track_id": f"{track.track_id}{n}", "first_frame": n, "last_frame": n + 5})
        for n in (3, 9)
        for track in CLIP.tracks[:1]
    ]
    at_once = [CLIP.tracks[0].model_copy(update={"track_id": f"t{n}"}) for n in range(5)]
    assert len({part.name for part in parts_of_video(CLIP.video, at_once)}) == 3
    found = list(parts_of_video(CLIP.video, [*later, *CLIP.tracks]))
    assert [(part.name, len(part.tracks)) for part in found] == [("1-0-19", 2), ("2-3-14", 2)]


def test_frames_that_were_skipped_between_detections_are_shown_on_the_way() -> None:
    box: Box = (8.0, 8.0, 16.0, 16.0)
    track = CLIP.tracks[0].model_copy(
        update={
            "frames": [0, 4, 8, 16],
            "times_s": [0.0, 0.16, 0.32, 0.64],
            "boxes_xyxy": [box] * 4,
            "scores": [0.5] * 4,
            "gaps": [Shot(first_frame=9, last_frame=15)],
        }
    )
    (part,) = parts_of_video(CLIP.video, [track])
    shown = shown_image(part.row())
    part.add_boxes(shown)
    assert shown.regions[0].track is not None
    assert sorted(filled_boxes(shown.regions[0].track)) == [*range(9), 16]
    assert changes(said(shown, result_of(shown))) == []


def test_a_dataset_without_tracks_has_none_to_review(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", [make_row(1)])
    with pytest.raises(DatasetError, match="has no tracks to review"):
        next(plan_items(str(tmp_path / "d"), "rev_1", "aa", ReviewOptions(tracks=True)))
