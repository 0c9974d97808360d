"""Corpora with tracks: MOT challenge, YouTube-VIS, COCO with tracks and tracks.jsonl, listed and accounted
for.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from track_samples import GOLD_LINES, HEIGHT, WIDTH, write_frames, write_json, write_sequence, youtube_vis

from fo1_data.corpus.forms.mot_lines import parse_line
from fo1_data.corpus.forms.segmentation_masks import mask_of_segmentation
from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.corpus.listing import Listing
from fo1_data.corpus.readers import load_gold, load_listing
from fo1_data.corpus.tracked_videos import is_tracked, video_id_of
from fo1_data.corpus.video.opening import open_entry
from fo1_data.errors import CorpusError
from schemas.corpus import CorpusImage, GivenTrack
from schemas.sources import ContentKind


def tracked(corpus: Path) -> Listing:
    return load_listing(str(corpus), frame_every_s=None)


def only(listing: Listing) -> CorpusImage:
    (entry,) = listing.entries
    return entry


def reasons(listing: Listing) -> list[str]:
    return [reject.reason for reject in listing.rejects]


def found(listing: Listing, kind: ContentKind) -> tuple[int, int, int]:
    """Found, attached and rejected of all sources."""
    tallies = ("found", "attached", "rejected")
    total = [sum(getattr(source, name).get(kind, 0) for source in listing.sources) for name in tallies]
    return total[0], total[1], total[2]


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
    (tmp_path / "det/det.txt").write_text("1,-1,2,2,5,5,0.9\n2,-1,2,2,5,5,0.8\n3,-1,2,2,5,5,0.7\n")
    listing = tracked(tmp_path)
    assert sorted(reasons(listing)) == ["ignored", "no_identity"]
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


def _youtube_vis(tmp_path: Path, **video: Any) -> Path:
    folder = tmp_path / "JPEGImages/clip"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{number:05d}.jpg")
    return write_json(tmp_path / "instances.json", youtube_vis(**video))


@pytest.mark.parametrize("corpus", ["instances.json", "."])
def test_youtube_vis_is_read_alone_and_in_its_folder(tmp_path: Path, corpus: str) -> None:
    _youtube_vis(tmp_path)
    listing = tracked(tmp_path / corpus)
    entry = only(listing)
    (track,) = entry.tracks or []
    assert (track.id, track.label, track.caption, track.frames) == ("5", "dog", "brown dog", [0, 2])
    assert track.boxes_xyxy == [(1, 2, 11, 22), (3, 2, 13, 22)]
    assert track.masks is not None
    assert track.masks[0] is None
    assert track.masks[1] is not None
    assert track.masks[1].size == [HEIGHT, WIDTH]
    assert entry.uri == f"{tmp_path}/JPEGImages/clip"
    assert found(listing, ContentKind.BOXES) == (2, 2, 0)
    assert found(listing, ContentKind.CAPTIONS) == (1, 1, 0)


def test_segmentations_that_are_no_masks_are_told(tmp_path: Path) -> None:
    corpus = _youtube_vis(tmp_path)
    document = json.loads(corpus.read_text())
    document["annotations"][0]["segmentations"][0] = [[1, 2, 3]]
    write_json(corpus, document)
    (source,) = tracked(corpus).sources
    assert source.notes == ["1 segmentation is no mask that can be read; only boxes are kept"]


def test_a_frame_that_is_not_there_is_named(tmp_path: Path) -> None:
    corpus = _youtube_vis(tmp_path)
    (tmp_path / "JPEGImages/clip/00001.jpg").unlink()
    listing = tracked(corpus)
    (reject,) = listing.rejects
    assert reject.reason == "no_video"
    assert "clip/00001.jpg" in reject.message
    assert found(listing, ContentKind.TRACKS) == (1, 0, 1)


def test_annotations_of_a_video_that_is_not_listed_and_boxes_beyond_its_end_are_rejects(
    tmp_path: Path,
) -> None:
    corpus = _youtube_vis(tmp_path)
    document = json.loads(corpus.read_text())
    document["annotations"][0]["bboxes"].append([1, 1, 2, 2])
    document["annotations"].append({"id": 9, "video_id": 8, "category_id": 3, "bboxes": [[1, 1, 2, 2]]})
    write_json(corpus, document)
    listing = tracked(corpus)
    assert sorted(reasons(listing)) == ["no_such_frame", "unknown_video"]
    assert found(listing, ContentKind.BOXES) == (4, 2, 2)


def test_two_videos_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    names = write_frames(tmp_path / "frames", 4)
    document = {
        "videos": [
            {"id": 1, "name": "a", "file_names": [f"frames/{name}" for name in names[:2]], "length": 2},
            {"id": 2, "name": "b", "file_names": [f"frames/{name}" for name in names[2:]], "length": 2},
        ],
        "annotations": [],
    }
    entries = tracked(write_json(tmp_path / "made.json", document)).entries
    assert [entry.inner for entry in entries] == ["a", "b"]
    assert len({entry.name for entry in entries}) == 2
    assert video_id_of(entries[0]) != video_id_of(entries[1])
    with open_entry(entries[1]) as video:
        assert video.info.num_frames == 2


def _coco(tmp_path: Path) -> dict[str, Any]:
    names = write_frames(tmp_path / "seq", 3)
    images = [
        {"id": 10 + place, "video_id": 1, "frame_id": place, "file_name": f"seq/{name}", "width": WIDTH}
        for place, name in enumerate(names)
    ]
    boxes = [(10, 1, [1, 2, 10, 10]), (12, 1, [5, 2, 10, 10]), (11, 2, [20, 20, 5, 5])]
    return {
        "videos": [{"id": 1, "name": "seq", "fps": 10}],
        "images": images[::-1],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {
                "id": n,
                "image_id": image,
                "track_id": track,
                "bbox": box,
                "category_id": 1,
                "caption": "grey cat",
            }
            for n, (image, track, box) in enumerate(boxes)
        ],
    }


def test_coco_with_tracks(tmp_path: Path) -> None:
    document = _coco(tmp_path)
    listing = tracked(write_json(tmp_path / "coco.json", document))
    entry = only(listing)
    first, second = entry.tracks or []
    assert (first.id, first.label, first.caption, first.frames) == ("1", "cat", "grey cat", [0, 2])
    assert second.boxes_xyxy == [(20, 20, 25, 25)]
    assert entry.frame_files is not None
    assert entry.frame_files.fps == 10
    assert found(listing, ContentKind.CAPTIONS) == (2, 2, 0)


def test_coco_annotations_without_a_track_and_other_captions_are_rejects(tmp_path: Path) -> None:
    document = _coco(tmp_path)
    document["annotations"][1]["caption"] = "white cat"
    document["annotations"].append({"id": 7, "image_id": 10, "bbox": [1, 1, 5, 5], "category_id": 1})
    document["annotations"].append({"id": 8, "image_id": 99, "bbox": [1, 1, 5, 5], "track_id": 1})
    listing = tracked(write_json(tmp_path / "coco.json", document))
    assert sorted(reasons(listing)) == ["no_identity", "several_captions", "unknown_image"]
    assert found(listing, ContentKind.BOXES) == (5, 3, 2)
    assert found(listing, ContentKind.CAPTIONS) == (3, 2, 1)


def test_coco_without_tracks_stays_images(tmp_path: Path) -> None:
    document = _coco(tmp_path)
    for annotation in document["annotations"]:
        del annotation["track_id"]
    assert len(tracked(write_json(tmp_path / "coco.json", document)).entries) == 3


def test_tracks_jsonl_of_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames/a", 3)
    record = {
        "video": "frames/a",
        "fps": 5,
        "tracks": [
            {"id": "x", "caption": "red ball", "frames": [0, 2], "boxes_xyxy": [[1, 1, 5, 5], [2, 1, 6, 5]]},
            {"id": "y", "frames": [1], "boxes_xyxy": []},
            {"id": "z", "frames": [0, 1], "boxes_xyxy": [[1, 1, 5, 5], [1, 1, 1, 5]]},
        ],
    }
    path = tmp_path / "tracks.jsonl"
    path.write_text(f"{json.dumps(record)}\nno JSON\n")
    for corpus in (path, tmp_path):
        listing = tracked(corpus)
        entry = only(listing)
        assert [track.id for track in entry.tracks or []] == ["x", "z"]
        assert reasons(listing) == ["bad_json", "bad_record", "not_a_box"]
        assert found(listing, ContentKind.BOXES) == (4, 3, 1)


def test_a_corpus_of_tracks_that_names_nothing_says_so(tmp_path: Path) -> None:
    assert read_track_file(str(tmp_path), is_gold=True) is None
    with pytest.raises(CorpusError, match="not a COCO file"):
        tracked(write_json(tmp_path / "a.json", {"videos": [], "annotations": []}))


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


values = st.none() | st.sampled_from([[1, 2, 3, 4], [1, 2, 0, 4], "x", [1], [1, 2, float("nan"), 1], []])
annotations = st.fixed_dictionaries(
    {"video_id": st.sampled_from([1, 2, None])},
    optional={
        "id": st.sampled_from([1, 2, "a"]),
        "bboxes": st.lists(values, max_size=4) | st.none(),
        "segmentations": st.lists(values, max_size=4),
        "caption": st.sampled_from(["c", "", None]),
        "score": st.sampled_from([0.5, "x"]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(annotations | st.just(7), max_size=5))
def test_every_annotation_of_youtube_vis_is_attached_or_rejected(
    drawn: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = _youtube_vis(tmp_path_factory.mktemp("made"))
    write_json(corpus, {**youtube_vis(), "annotations": drawn})
    listing = tracked(corpus)
    assert "unaccounted" not in reasons(listing)
    total, attached, rejected = found(listing, ContentKind.TRACKS)
    assert total == attached + rejected == len(drawn)


@given(st.text(alphabet="0123456789.,-e ", max_size=30))
def test_a_line_is_numbers_or_a_message(text: str) -> None:
    try:
        line = parse_line(text.encode())
    except ValueError:
        return
    assert isinstance(line.frame, int)


def test_given_tracks_hold_together() -> None:
    fields = {"id": "1", "frames": [0, 1], "boxes_xyxy": [(0, 0, 1, 1)] * 2}
    assert GivenTrack.model_validate(fields)
    for wrong in (
        {"frames": [1, 0]},
        {"frames": [-1, 0]},
        {"scores": [1.0]},
        {"boxes_xyxy": [(0, 0, 1, 1e400)] * 2},
    ):
        with pytest.raises(ValueError, match="track 1"):
            GivenTrack.model_validate({**fields, **wrong})


@pytest.mark.parametrize(
    "segmentation",
    [[1, 2, float("nan"), 1, 2, 2], [[0, 0, 1e300, 0, 5, 5]], {"size": [2, 2], "counts": [-1, 5]}, "x", [[]]],
)
def test_segmentations_that_cannot_be_filled_are_no_masks(segmentation: Any) -> None:
    assert mask_of_segmentation(segmentation, HEIGHT, WIDTH) is None


CVAT = """<annotations><meta><task><id>4</id><size>9</size><source>yard.mp4</source>
<original_size><width>64</width><height>48</height></original_size></task></meta>
<track id="3" label="cat">
<box frame="0" keyframe="1" outside="0" xtl="1" ytl="2" xbr="11" ybr="12">
<attribute name="caption">grey cat</attribute></box>
<box frame="1" keyframe="0" outside="0" xtl="2" ytl="2" xbr="12" ybr="12">
<attribute name="caption">grey cat</attribute><attribute name="pose">lying</attribute></box>
<box frame="2" keyframe="1" outside="1" xtl="3" ytl="2" xbr="13" ybr="12"></box>
<polygon frame="5" keyframe="1" outside="0" points="3,2;13,2;13,12"></polygon>
<box frame="6" keyframe="1" outside="0" xtl="3" ytl="2" xbr="3" ybr="12"></box>
</track></annotations>"""


def test_tracks_of_cvat_are_those_of_its_video(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"not opened")
    (tmp_path / "annotations.xml").write_text(CVAT)
    for corpus in (tmp_path, tmp_path / "annotations.xml"):
        listing = tracked(corpus)
        entry = only(listing)
        (track,) = entry.tracks or []
        assert (track.id, track.label, track.caption, track.frames) == ("3", "cat", "grey cat", [0, 1, 5])
        assert track.boxes_xyxy[2] == (3, 2, 13, 12)
        assert entry.uri == f"{tmp_path}/yard.mp4"
        assert reasons(listing) == ["not_a_box"]
        assert found(listing, ContentKind.BOXES) == (4, 3, 1)
    file = read_track_file(str(tmp_path / "annotations.xml"), is_gold=True)
    assert file is not None
    assert [video.video for video in file.videos] == ["yard.mp4"]
