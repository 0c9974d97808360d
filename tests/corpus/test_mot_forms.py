"""Sequences of the MOT challenge, listed and accounted for."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listed_tracks import found, only, reasons, tracked
from track_samples import GOLD_LINES, HEIGHT, WIDTH, write_frames, write_sequence

from fo1_data.corpus.forms.mot_lines import parse_line
from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.corpus.readers import load_gold, load_listing
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.corpus.video.opening import open_entry
from schemas.sources import ContentKind


def test_a_sequence_of_mot_challenge_is_one_video_with_its_tracks(tmp_path: Path) -> None:
    write_sequence(tmp_path / "MOT-01", GOLD_LINES)
    listing = tracked(tmp_path)
    entry = only(listing)
    assert entry.uri == str(tmp_path / "MOT-01/img1")
    assert entry.frame_files is not None
    assert len(entry.frame_files.addresses) == 4
    assert (entry.width, entry.height, entry.frame_files.fps) == (WIDTH, HEIGHT, 12.5)
    person, car = entry.tracks or []
    assert (person.id, person.label, person.frames) == ("1", "pedestrian", [0, 1, 3])
    assert person.boxes_xyxy[0] == pytest.approx((10, 5, 30, 35))
    assert person.meta == {"visibility": [0.9, 1.0, 1.0]}
    assert (car.label, car.frames, car.scores) == ("car", [1], None)
    assert found(listing, ContentKind.BOXES) == (4, 4, 0)
    assert found(listing, ContentKind.TRACKS) == (2, 2, 0)
    assert listing.has_videos
    assert is_tracked(entry)


def test_its_frames_are_read_as_a_video(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    with open_entry(only(tracked(tmp_path))) as video:
        assert (video.info.num_frames, video.info.fps) == (4, 12.5)
        assert [frame.number for frame in video.frames()] == [0, 1, 2, 3]
        assert video.time_of(2) == pytest.approx(0.16)


def test_without_a_tracker_its_images_have_the_boxes_of_its_tracks(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    for listing in (load_listing(str(tmp_path)), load_gold(str(tmp_path))):
        assert [entry.uri.rpartition("/")[2] for entry in listing.entries] == [
            f"{number:06d}.jpg" for number in range(1, 5)
        ]
        assert [len(entry.regions or []) for entry in listing.entries] == [1, 2, 0, 1]
        second = listing.entries[1]
        assert [region.label for region in second.regions or []] == ["pedestrian", "car"]
        assert second.meta is not None
        assert second.meta["region_meta"] == [{"track_id": "1"}, {"track_id": "7"}]
        assert found(listing, ContentKind.BOXES) == (4, 4, 0)
        assert found(listing, ContentKind.IMAGES) == (4, 4, 0)


def test_a_limit_ends_within_a_sequence(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    listing = load_listing(str(tmp_path), limit=2)
    assert len(listing.entries) == 2
    assert found(listing, ContentKind.BOXES) == (3, 3, 0)


def test_a_sequence_without_gold_has_no_tracks(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a", None)
    assert only(tracked(tmp_path)).tracks is None
    assert [entry.regions for entry in load_listing(str(tmp_path)).entries] == [None] * 4


def test_names_of_classes_are_those_beside_the_gold(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    (tmp_path / "gt/labels.txt").write_text("cat\nhen\ndog\n")
    assert [track.label for track in only(tracked(tmp_path)).tracks or []] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3,4,5", "bad_line"),
        ("1,2,x,4,5,6", "bad_line"),
        ("1.5,2,3,4,5,6", "bad_line"),
        ("1,2,3,4,0,6,1", "not_a_box"),
        ("1,2,3,4,nan,6,1", "not_a_box"),
        ("0,2,3,4,5,6,1", "no_such_frame"),
        ("5,2,3,4,5,6,1", "no_such_frame"),
        ("1,1,3,4,5,6,1", "repeated_frame"),
    ],
)
def test_a_bad_line_is_a_reject_with_its_number(tmp_path: Path, line: str, reason: str) -> None:
    write_sequence(tmp_path, [GOLD_LINES[0], "", line])
    listing = tracked(tmp_path)
    (reject,) = listing.rejects
    assert (reject.reason, reject.uri) == (reason, f"{tmp_path}/gt/gt.txt:3")
    assert found(listing, ContentKind.BOXES) == (2, 1, 1)


def test_what_is_not_scored_and_what_has_no_id_is_counted_once(tmp_path: Path) -> None:
    write_sequence(tmp_path, [*GOLD_LINES, "1,9,2,2,5,5,0,8,1", "2,9,2,2,5,5,0,8,1"])
    (tmp_path / "det").mkdir()
    (tmp_path / "det/det.txt").write_text("1,-1,2,2,5,5,0.9\n2,-1,2,2,5,5,0.8\n3,-1,2,2,5,5,0\n")
    listing = tracked(tmp_path)
    assert reasons(listing) == ["ignored", "ignored"]
    assert found(listing, ContentKind.BOXES) == (9, 4, 5)


def test_lines_of_ten_columns_have_no_class_and_results_have_scores(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,1,2,2,5,5,0.5,4.5,5.5,0\n2,1,2,2,5,5,-1,-1,-1,-1\n")
    results = read_track_file(str(path), is_gold=False)
    assert results is not None
    (track,) = results.videos[0].tracks or []
    assert (track.label, track.scores) == (None, [0.5, None])


def test_sequences_stand_beside_other_files(tmp_path: Path) -> None:
    write_sequence(tmp_path / "train/A", GOLD_LINES)
    write_sequence(tmp_path / "train/B", None)
    write_frames(tmp_path / "others", 2)
    names = [Path(entry.uri).relative_to(tmp_path).as_posix() for entry in tracked(tmp_path).entries]
    assert sorted(names) == ["others/000001.jpg", "others/000002.jpg", "train/A/img1", "train/B/img1"]


def test_frames_that_miss_a_number_are_images_and_their_tracks_a_reject(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    (tmp_path / "img1/000002.jpg").unlink()
    listing = tracked(tmp_path)
    assert reasons(listing) == ["missing_frames", "no_video"]
    assert len(listing.entries) == 3
    assert found(listing, ContentKind.BOXES) == (4, 0, 4)


def test_gold_without_frames_is_a_reject_for_labelling_but_tracks_for_comparing(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES, frames=False)
    assert reasons(tracked(tmp_path)) == ["no_video"]
    for source in (tmp_path, tmp_path / "gt/gt.txt"):
        file = read_track_file(str(source), is_gold=True)
        assert file is not None
        assert [track.id for track in file.videos[0].tracks or []] == ["1", "7"]
        assert file.videos[0].video == tmp_path.name


def test_a_broken_seqinfo_is_a_reject(tmp_path: Path) -> None:
    write_sequence(tmp_path / "A", GOLD_LINES, info="no section")
    assert reasons(tracked(tmp_path)) == ["unreadable"]


def test_a_gt_txt_of_another_form_is_no_sequence(tmp_path: Path) -> None:
    names = write_frames(tmp_path / "img1", 2)
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt/gt.txt").write_text("".join(f"{name}, some words\n" for name in names))
    listing = tracked(tmp_path)
    assert len(listing.entries) == 2
    assert reasons(listing) == ["annotations_not_read"]
    assert read_track_file(str(tmp_path), is_gold=True) is None


def test_text_of_mot_alone_is_a_corpus(tmp_path: Path) -> None:
    write_sequence(tmp_path, GOLD_LINES)
    assert only(tracked(tmp_path / "gt/gt.txt")).uri == f"{tmp_path}/img1"


def test_a_list_of_images_is_no_text_of_mot(tmp_path: Path) -> None:
    names = write_frames(tmp_path, 2)
    (tmp_path / "list.txt").write_text("\n".join(names))
    assert len(tracked(tmp_path / "list.txt").entries) == 2


fields = st.sampled_from(["1", "2", "9", "-1", "0", "1.5", "x", "", "nan", "7"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(st.lists(fields, min_size=4, max_size=11).map(",".join), min_size=1, max_size=12))
def test_every_line_is_attached_or_rejected(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("made") / "A"
    write_sequence(folder, lines, num_frames=2)
    listing = tracked(folder)
    num_boxes = sum(len(track.frames) for entry in listing.entries for track in entry.tracks or [])
    assert found(listing, ContentKind.BOXES)[0] == len(lines)
    assert found(listing, ContentKind.BOXES)[1] == num_boxes
    assert "unaccounted" not in reasons(listing)


@given(st.text(alphabet="0123456789.,-e ", max_size=30))
def test_a_line_is_numbers_or_a_message(text: str) -> None:
    try:
        line = parse_line(text.encode())
    except ValueError:
        return
    assert isinstance(line.frame, int)
