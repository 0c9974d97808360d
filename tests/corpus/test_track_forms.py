"""COCO with tracks, tracks.jsonl and CVAT, listed and accounted for; and tracks as a corpus gives them."""

import json
from pathlib import Path
from typing import Any

import pytest
from listed_tracks import found, only, reasons, tracked
from track_samples import WIDTH, write_frames, write_json

from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.errors import CorpusError
from schemas.corpus import GivenTrack
from schemas.sources import ContentKind


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


def test_the_most_frequent_category_of_a_coco_track_is_its_label_and_told(tmp_path: Path) -> None:
    document = _coco(tmp_path)
    document["categories"].append({"id": 2, "name": "dog"})
    document["annotations"][0]["category_id"] = 2
    document["annotations"].append(
        {"id": 9, "image_id": 11, "track_id": 1, "bbox": [3, 2, 10, 10], "category_id": 1}
    )
    listing = tracked(write_json(tmp_path / "coco.json", document))
    assert {track.id: track.label for track in only(listing).tracks or []} == {"1": "cat", "2": "cat"}
    assert any("track 1 has several classes" in note for source in listing.sources for note in source.notes)


def test_coco_boxes_of_an_id_that_several_frames_have_are_rejects(tmp_path: Path) -> None:
    """As in files of several sequences that were put together, each numbered from 1."""
    document = _coco(tmp_path)
    names = write_frames(tmp_path / "other", 1)
    again = {"id": 11, "video_id": 2, "frame_id": 0, "file_name": f"other/{names[0]}", "width": WIDTH}
    document["images"].append(again)
    document["images"][0].pop("id")
    document["annotations"].append({"id": 9, "track_id": 5, "bbox": [1, 1, 5, 5], "category_id": 1})
    listing = tracked(write_json(tmp_path / "coco.json", document))
    assert sorted(reasons(listing)) == ["ambiguous_id", "unknown_image", "unknown_image"]
    assert [len(entry.tracks or []) for entry in listing.entries] == [1, 0]


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


def test_cvat_names_the_video_beside_the_task_in_older_releases(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"not opened")
    source = "<source>yard.mp4</source>"
    older = CVAT.replace(source, "").replace("</meta>", f"<dumped>2021</dumped>{source}</meta>")
    (tmp_path / "annotations.xml").write_text(older)
    entry = only(tracked(tmp_path))
    assert (entry.uri, entry.width, len(entry.tracks or [])) == (f"{tmp_path}/yard.mp4", 64, 1)


def test_attributes_of_cvat_tracks_with_the_names_of_labels_and_texts_are_kept(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"not opened")
    own = '<attribute name="type">tabby</attribute><attribute name="text">TOM</attribute>'
    (tmp_path / "annotations.xml").write_text(CVAT.replace('<attribute name="pose">lying</attribute>', own))
    (track,) = only(tracked(tmp_path)).tracks or []
    assert (track.label, track.caption) == ("cat", "grey cat")
    assert (track.meta or {})["attributes"] == [None, {"type": "tabby", "text": "TOM"}, None]


def test_videos_of_one_name_in_a_cvat_project_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"not opened")
    head, track = CVAT.split("</meta>")
    task = head.partition("<meta>")[2]
    tasks = f"<project><tasks>{task}{task.replace('<id>4', '<id>5')}</tasks></project>"
    track = track.removesuffix("</annotations>")
    tracks = track.replace("<track ", '<track task_id="4" ') + track.replace(
        '<track id="3"', '<track task_id="5" id="7"'
    )
    (tmp_path / "annotations.xml").write_text(f"<annotations><meta>{tasks}</meta>{tracks}</annotations>")
    file = read_track_file(str(tmp_path / "annotations.xml"), is_gold=True)
    assert file is not None
    assert [[track.id for track in video.tracks or []] for video in file.videos] == [["3"], ["7"]]
    listing = tracked(tmp_path)
    assert all(entry.tracks is None for entry in listing.entries)
    assert reasons(listing).count("no_video") == 2
