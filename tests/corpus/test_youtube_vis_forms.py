"""YouTube-VIS, listed and accounted for."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listed_tracks import found, only, reasons, tracked
from PIL import Image
from track_samples import HEIGHT, WIDTH, write_frames, write_json, youtube_vis

from fo1_data.corpus.forms.segmentation_masks import mask_of_segmentation
from fo1_data.corpus.tracked_videos import video_id_of
from fo1_data.corpus.video.opening import open_entry
from schemas.sources import ContentKind


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


@pytest.mark.parametrize(
    "segmentation",
    [[1, 2, float("nan"), 1, 2, 2], [[0, 0, 1e300, 0, 5, 5]], {"size": [2, 2], "counts": [-1, 5]}, "x", [[]]],
)
def test_segmentations_that_cannot_be_filled_are_no_masks(segmentation: Any) -> None:
    assert mask_of_segmentation(segmentation, HEIGHT, WIDTH) is None
