"""Corrections of tracks as lines of a file: what they need, their order, and ids that stay the same."""

import pytest

from schemas.corrections import (
    Correction,
    CorrectionAction,
    annotation_key,
    correction_line,
    parse_corrections,
    split_track_id,
)
from schemas.labels import LabelKind

VIDEO = "ab" * 32
TRACK = f"{VIDEO[:16]}/t0-1"


def say(action: str, **members: object) -> Correction:
    return Correction.model_validate(
        {"image_id": VIDEO, "track_id": TRACK, "at": "2026-01-01", "action": action} | members
    )


BOX = {"box_xyxy": [1, 2, 3, 4]}
SAID = [
    say("recaptioned", kind="brief_caption", after={"text": "a cup"}),
    say("verdict", kind="brief_caption", right=True),
    say("moved", frame=3, after=BOX),
    say("added", frame=4, time_s=0.16, after=BOX),
    say("deleted", frame=5),
    say("deleted"),
    say("split", frame=7),
    say("joined", after={"track_id": f"{VIDEO[:16]}/t0-0"}),
]


def test_every_correction_of_a_track_comes_back_from_its_line() -> None:
    assert list(parse_corrections(map(correction_line, SAID))) == SAID
    assert all(correction.is_of_track for correction in SAID)
    assert len({correction.correction_id for correction in SAID}) == len(SAID)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"action": "moved", "after": BOX}, "moved of a track needs frame"),
        ({"action": "added", "after": BOX}, "added of a track needs frame"),
        ({"action": "moved", "frame": 1}, "needs after.box_xyxy"),
        ({"action": "split"}, "split of a track needs frame"),
        ({"action": "split", "frame": 1, "track_id": None}, "split needs track_id"),
        ({"action": "joined"}, "joined needs after.track_id"),
        ({"action": "deleted", "track_id": None}, "deleted needs region_id"),
        ({"action": "withdrawn", "track_id": None, "frame": 2}, "frame needs track_id"),
    ],
)
def test_what_is_missing_is_named(members: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        say(**{"action": "deleted", **members})  # type: ignore[arg-type]


def test_the_ids_of_corrections_of_images_stay_as_they_were() -> None:
    correction = Correction(
        image_id="cd" * 32,
        action=CorrectionAction.RECAPTIONED,
        kind=LabelKind.BRIEF_CAPTION,
        region_id="r",
        after={"text": "a cup"},  # type: ignore[arg-type]
        at="2026-01-01",
    )
    assert correction.correction_id == "9c5b77a5190598c760836b7d74592292"


def test_parts_of_a_track_have_one_id_in_whatever_order_it_is_cut() -> None:
    assert split_track_id(split_track_id(TRACK, 20), 30) == split_track_id(TRACK, 30) == f"{TRACK}@30"


def test_within_a_submission_parts_come_first_then_boxes() -> None:
    ordered = sorted(SAID, key=lambda correction: correction.order)
    assert [correction.action.value for correction in ordered[:4]] == ["split", "joined", "added", "moved"]


def test_what_is_said_of_a_region_itself_counts_before_what_is_said_of_its_track() -> None:
    of_region = say("recaptioned", kind="brief_caption", region_id="r", track_id=None, after={"text": "a"})
    of_track = say("recaptioned", kind="brief_caption", region_id="r", after={"text": "b"}, at="2026-02-01")
    moved = say("moved", region_id="r", frame=2, after=BOX, at="2026-02-01")
    assert sorted([moved, of_region, of_track], key=lambda one: one.order) == [of_track, of_region, moved]
    assert not of_track.is_of_track


def test_the_frames_of_a_long_video_are_a_part_of_its_review() -> None:
    key = annotation_key("review-1", "0-250", 3)
    correction = say("deleted", annotation_key=key)
    assert correction.review == "review-1"
    assert correction.statement == ("review-1@0-250", VIDEO)
