"""Corrections of tracks merged: what each does to tracks and to keyframes' rows, in any order and parts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_tracks import FPS
from track_merges import AT, CLIP, FIRST, OTHER, SECOND, VIDEO, Merges, box_in, caption, of_row, say, write

from fo1_data.dataset.layout import TRACKS
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.errors import DatasetError
from schemas.corrections import Correction, split_track_id
from schemas.labels import Decision, LabelKind, Source
from schemas.tracks import Shot


@pytest.fixture
def merges(tmp_path: Path) -> Merges:
    return Merges(tmp_path)


def test_no_corrections_change_nothing(merges: Merges) -> None:
    before = merges.address
    merges.merge()
    assert merges.tracks() == [*CLIP.tracks, *OTHER.tracks]
    assert compare_datasets(before, merges.address).is_empty
    assert Path(before, TRACKS).stat().st_ino == Path(merges.address, TRACKS).stat().st_ino
    assert "tracks" not in merges.merged()


def test_a_caption_goes_to_the_track_and_to_its_region_in_every_keyframe(merges: Merges) -> None:
    merges.merge(caption("a cup"))
    track = merges.track()
    assert (track.brief_caption, track.labels[0].source, track.labels[0].annotator) == (
        "a cup", Source.HUMAN, "ada",
    )  # fmt: skip
    assert track.decision is Decision.ACCEPT
    for row in merges.rows():
        assert [region.brief_caption for region in row.regions] == ["a cup", "green circle"]
        assert row.regions[0].labels[0].source is Source.HUMAN
    assert {name: merges.merged()[name] for name in ("recaptioned", "tracks", "images", "left_out")} == {
        "recaptioned": 1, "tracks": 1, "images": 2, "left_out": 0,
    }  # fmt: skip
    assert merges.track(SECOND) == CLIP.tracks[1]


def test_what_a_person_said_of_a_region_itself_stays_whichever_came_last(merges: Merges) -> None:
    row = CLIP.rows[0]
    own = of_row(
        row, "recaptioned", kind="brief_caption", region_id=row.regions[0].region_id, after={"text": "a mug"},
        at="2026-11-01",
    )  # fmt: skip
    merges.merge(own).merge(caption("a cup"))
    assert [row.regions[0].brief_caption for row in merges.rows()] == ["a mug", "a cup"]
    assert merges.track().brief_caption == "a cup"


def test_a_right_caption_is_confirmed_and_a_wrong_one_goes(merges: Merges) -> None:
    merges.merge(
        say("verdict", kind="brief_caption", right=True),
        say("verdict", SECOND, kind="brief_caption", right=False),
        say(
            "verdict",
            SECOND,
            kind="brief_caption",
            right=True,
            before={"text": "another text"},
            at="2027-01-01",
        ),
    )
    assert merges.track().labels[0].annotator == "ada"
    assert merges.track().labels[0].source is Source.MODEL
    assert (merges.track(SECOND).labels, merges.track(SECOND).brief_caption) == ([], None)
    for row in merges.rows():
        assert row.regions[0].labels[0].annotator == "ada"
        assert row.regions[1].labels == []
    assert (merges.merged()["verdict"], merges.merged()["left_out"]) == (2, 1)


def test_a_box_that_moves_in_a_keyframe_moves_the_region(merges: Merges) -> None:
    merges.merge(box_in(2, 5, 3, 16, 11), box_in(3, 6, 3, 17, 11))
    track = merges.track()
    assert track.boxes_xyxy[2:4] == [(5.0, 3.0, 16.0, 11.0), (6.0, 3.0, 17.0, 11.0)]
    assert track.scores[2:4] == [None, None]
    region = merges.rows()[0].regions[0]
    assert (region.box_xyxy, region.box_source) == ((5.0, 3.0, 16.0, 11.0), Source.HUMAN)
    assert (region.track_id, region.labels[0].box_moved) == (FIRST, True)
    assert not track.labels[0].box_moved
    assert merges.rows()[1] == CLIP.rows[1]


def test_a_track_that_was_on_another_thing_in_a_keyframe_has_stale_labels(merges: Merges) -> None:
    merges.merge(box_in(2, 40, 30, 60, 45))
    assert merges.track().labels[0].box_moved
    assert merges.track().decision is Decision.REVIEW


def test_boxes_are_added_in_a_gap_and_deleted_in_a_frame(merges: Merges) -> None:
    merges.merge(
        say("added", SECOND, frame=6, after={"box_xyxy": [1, 1, 9, 9]}),
        say("deleted", SECOND, frame=12),
        say("deleted", SECOND, frame=6000),
    )
    track = merges.track(SECOND)
    assert track.gaps == [
        Shot(first_frame=5, last_frame=5), Shot(first_frame=7, last_frame=7),
        Shot(first_frame=12, last_frame=12),
    ]  # fmt: skip
    assert track.times_s[track.frames.index(6)] == 6 / FPS
    assert [keyframe.frame for keyframe in track.keyframes] == [2]
    assert [len(row.regions) for row in merges.rows()] == [2, 1]
    assert merges.merged()["left_out"] == 1


def test_a_deleted_track_goes_with_its_regions(merges: Merges) -> None:
    merges.merge(say("deleted"))
    assert [track.track_id for track in merges.tracks()][:1] == [SECOND]
    assert [[region.track_id for region in row.regions] for row in merges.rows()] == [[SECOND], [SECOND]]
    assert merges.report is not None
    assert merges.report.manifest.counts.tracks == 3


def test_a_split_makes_two_tracks_whose_labels_are_stale_until_corrected(merges: Merges) -> None:
    part = split_track_id(FIRST, 10)
    merges.merge(say("split", frame=10), caption("a dog", track_id=part))
    first, second = merges.track(), merges.track(part)
    assert [track.track_id for track in merges.tracks()][:3] == [FIRST, part, SECOND]
    assert (first.last_frame, second.first_frame) == (9, 10)
    assert first.frames + second.frames == CLIP.tracks[0].frames
    assert (first.labels[0].box_moved, first.labels[0].reasons) == (True, ["track_split"])
    assert (second.brief_caption, second.labels[0].box_moved) == ("a dog", False)
    rows = merges.rows()
    assert [row.regions[0].track_id for row in rows] == [FIRST, part]
    assert [row.regions[0].brief_caption for row in rows] == ["red square", "a dog"]


def test_a_frame_finds_its_part_by_the_id_of_the_whole(merges: Merges) -> None:
    merges.merge(say("split", frame=10), box_in(12, 5, 3, 16, 11))
    assert merges.track(split_track_id(FIRST, 10)).boxes_xyxy[2] == (5.0, 3.0, 16.0, 11.0)
    merges.merge(say("split", frame=15), say("split", frame=4))
    assert [track.frames[0] for track in merges.tracks()[:4]] == [0, 4, 10, 15]


def test_two_tracks_that_are_one_thing_are_joined(merges: Merges) -> None:
    merges.merge(say("deleted", frame=3, at="2026-11-01"), say("joined", SECOND, after={"track_id": FIRST}))
    track = merges.track()
    assert SECOND not in [track.track_id for track in merges.tracks()]
    assert track.frames == list(range(20))
    assert track.boxes_xyxy[3] == CLIP.tracks[1].boxes_xyxy[3]
    assert [[region.track_id for region in row.regions] for row in merges.rows()] == [[FIRST], [FIRST]]
    assert track.boxes_xyxy[5] == CLIP.tracks[0].boxes_xyxy[5]
    assert track.labels[0].reasons == ["track_joined"]
    merges.merge(say("moved", SECOND, frame=4, after={"box_xyxy": [0, 0, 5, 5]}, at="2027-01-01"))
    assert merges.track().boxes_xyxy[4] == (0.0, 0.0, 5.0, 5.0)


def test_a_person_draws_a_track(merges: Merges) -> None:
    drawn = f"{VIDEO[:16]}/p1"
    boxes = [say("added", drawn, frame=frame, after={"box_xyxy": [1, 30, 9, 45]}) for frame in (22, 23)]
    merges.merge(
        *boxes,
        caption("a bird", track_id=drawn),
        say("added", "x/p1", frame=3, after={"box_xyxy": [1, 1, 2, 2]}),
    )
    track = merges.track(drawn)
    assert (track.shot, track.frames, track.box_source, track.brief_caption) == (
        1, [22, 23], Source.HUMAN, "a bird",
    )  # fmt: skip
    assert merges.merged()["left_out"] == 1


def test_a_track_follows_its_region_that_people_moved_or_deleted_in_a_row(merges: Merges) -> None:
    first, second = CLIP.rows
    moved = of_row(
        first, "moved", region_id=first.regions[0].region_id, after={"box_xyxy": [6, 3, 15, 11]},
        annotation_key="review/1", as_of=AT,
    )  # fmt: skip
    deleted = of_row(
        second, "deleted", region_id=second.regions[0].region_id, annotation_key="review/2", as_of=AT
    )
    merges.merge(moved, deleted)
    track = merges.track()
    assert track.boxes_xyxy[2] == (6.0, 3.0, 15.0, 11.0)
    assert (12 in track.frames, [keyframe.frame for keyframe in track.keyframes]) == (False, [2])
    merges.merge(caption("a cup"))
    assert merges.track().boxes_xyxy[2] == (6.0, 3.0, 15.0, 11.0)
    assert 12 not in merges.track().frames
    merges.merge(reviews=["review"])
    assert merges.track().boxes_xyxy == CLIP.tracks[0].boxes_xyxy
    assert merges.track().keyframes == CLIP.tracks[0].keyframes
    assert merges.track().brief_caption == "a cup"
    assert [row.regions[0].brief_caption for row in merges.rows()] == ["a cup", "a cup"]


def test_corrections_of_other_videos_alone_are_refused(merges: Merges, tmp_path: Path) -> None:
    strange = caption("a cup", image_id="ff" * 32)
    with pytest.raises(DatasetError, match="is of an image or video of"):
        merge_corrections(merges.address, [strange], str(tmp_path / "refused"))
    merges.merge(strange, caption("a cup"))
    assert merges.merged()["unmatched"] == 1


BOXES = st.sampled_from([[1.0, 2.0, 9.0, 9.0], [20.0, 10.0, 60.0, 40.0], [90.0, 90.0, 95.0, 95.0]])
TEXTS = st.sampled_from(["red square", "a whale", ""])
NAMES = st.sampled_from(
    [FIRST, SECOND, split_track_id(FIRST, 10), split_track_id(SECOND, 10), f"{VIDEO[:16]}/p1", "nobody/t0-0"]
)


@st.composite
def any_correction(draw: st.DrawFn) -> Correction:
    """Any correction of a track of the first clip, or of a keyframe of it."""
    box, text = draw(BOXES), draw(TEXTS)
    fields: dict[str, Any] = {
        "at": draw(st.sampled_from([f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)])),
        "annotation_key": draw(st.sampled_from(["", "a", "review/1", "review/2"])),
    }
    if fields["annotation_key"].startswith("review/"):
        fields["as_of"] = draw(st.sampled_from([f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)]))
    if draw(st.integers(0, 3)) == 0:
        row = draw(st.sampled_from(CLIP.rows))
        region = draw(st.sampled_from(row.regions)).region_id
        kinds = [
            {
                "action": "moved",
                "region_id": region,
                "after": {"box_xyxy": draw(BOXES.filter(lambda b: b[0] < 64))},
            },
            {"action": "deleted", "region_id": region},
            {"action": "recaptioned", "region_id": region, "kind": "brief_caption", "after": {"text": text}},
            {"action": "withdrawn"},
        ]
        return of_row(row, **(draw(st.sampled_from(kinds)) | fields))
    frame = draw(st.sampled_from([2, 6, 10, 12, 25]))
    kinds = [
        {"action": "moved", "frame": frame, "after": {"box_xyxy": box}},
        {"action": "added", "frame": frame, "after": {"box_xyxy": box}},
        {"action": "deleted", "frame": frame},
        {"action": "deleted"},
        {"action": "split", "frame": draw(st.sampled_from([3, 10]))},
        {"action": "joined", "after": {"track_id": draw(NAMES)}},
        {"action": "recaptioned", "kind": "brief_caption", "after": {"text": text}},
        {"action": "renamed", "after": {"text": "thing"}},
        {"action": "answered", "subject": "What?", "after": {"text": text}},
        {"action": "verdict", "kind": "brief_caption", "right": draw(st.booleans())},
        {"action": "verdict", "kind": "ask", "subject": "What?", "right": draw(st.booleans())},
        {"action": "verdict", "kind": "detect", "subject": "thing", "right": draw(st.booleans())},
        {"action": "withdrawn", "track_id": None},
    ]
    return say(**({"track_id": draw(NAMES)} | draw(st.sampled_from(kinds)) | fields))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_at_once_in_parts_and_in_any_order_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    source = write(folder / "v0", [CLIP])
    changes = data.draw(st.lists(any_correction(), min_size=2, max_size=8))
    mixed = data.draw(st.permutations(changes))
    cut = data.draw(st.integers(1, len(changes) - 1))
    merge_corrections(source, changes, str(folder / "once"))
    merge_corrections(source, mixed[:cut], str(folder / "part"))
    merge_corrections(str(folder / "part"), mixed[cut:], str(folder / "parts"))
    once, parts = (open_dataset(str(folder / name)) for name in ("once", "parts"))
    assert validate_dataset(str(folder / "parts")) == []
    assert compare_datasets(str(folder / "once"), str(folder / "parts")).is_empty
    assert {track.track_id: track for track in once.tracks()} == {
        track.track_id: track for track in parts.tracks()
    }
    assert once.manifest.counts == parts.manifest.counts


def test_kinds_of_labels_of_tracks_are_those_of_regions() -> None:
    assert {label.kind for track in CLIP.tracks for label in track.labels} == {LabelKind.BRIEF_CAPTION}
