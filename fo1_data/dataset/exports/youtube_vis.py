"""JSON in the style of YouTube-VIS: `instances.json`, and frames in `JPEGImages/` where asked.

An annotation is a track: `bboxes` (x, y, width, height in pixels of the frame as shown) and `areas` with an
item a frame, null where the thing is not seen. `caption`, `track_id` and `scores` stand beside it, as keys
that tools of the form pass over. A category is what the source of the boxes calls the thing. Masks, answers
and confidences are left out.
"""

from collections.abc import Iterator
from typing import Any

from fo1_data.dataset.exports.json_lists import JsonList, json_bytes
from fo1_data.dataset.exports.videos import VideoNames, class_of, classes_of, copy_frames, require_videos
from fo1_data.dataset.given_videos import iterate_videos
from fo1_data.dataset.reader import Dataset
from fo1_data.storage.store import Store
from schemas.corpus import GivenTrack
from schemas.dataset import Manifest
from schemas.tracks import VideoRow

_DIGITS = 3


def export_youtube_vis(dataset: Dataset, store: Store, *, copy_images: bool = False) -> dict[str, int]:
    """Write all videos; returns how many videos, tracks, boxes and categories.

    `copy_images`: write the frames as JPEG. Raises DatasetError without videos, or if a frame cannot be read.
    """
    require_videos(dataset, "youtube-vis")
    categories = {name: number for number, name in enumerate(classes_of(dataset), start=1)}
    written = dict.fromkeys(("videos", "tracks", "boxes", "frames"), 0)
    names = VideoNames()
    with JsonList() as videos, JsonList() as annotations:
        for video, given in iterate_videos(dataset):
            written["videos"] += 1
            folder = names.name(video)
            files = [f"{folder}/{number:05d}.jpg" for number in range(video.num_frames)]
            videos.append(_video(video, written["videos"], files))
            for track in given.tracks or []:
                written["tracks"] += 1
                written["boxes"] += len(track.frames)
                ids = {"id": written["tracks"], "video_id": written["videos"]}
                category = {"category_id": categories[class_of(track)]}
                annotations.append({**ids, **category, **annotation_of(track, video)})
            if copy_images:
                written["frames"] += copy_frames(video, store, [f"JPEGImages/{file}" for file in files])
        store.write_chunks("instances.json", _document(dataset.manifest, videos, annotations, categories))
    return {**written, "categories": len(categories)}


def annotation_of(track: GivenTrack, video: VideoRow) -> dict[str, Any]:
    """A track as an annotation, without its ids and its category."""
    bboxes: list[list[float] | None] = [None] * video.num_frames
    areas: list[float | None] = [None] * video.num_frames
    scores: list[float | None] = [None] * video.num_frames
    for place, frame in enumerate(track.frames):
        left, top, right, bottom = track.boxes_xyxy[place]
        bboxes[frame] = [round(value, _DIGITS) for value in (left, top, right - left, bottom - top)]
        areas[frame] = round((right - left) * (bottom - top), _DIGITS)
        scores[frame] = track.scores[place] if track.scores else None
    return {
        "iscrowd": 0,
        "width": video.width,
        "height": video.height,
        "length": video.num_frames,
        "bboxes": bboxes,
        "segmentations": [None] * video.num_frames,
        "areas": areas,
        "track_id": track.id,
        "caption": track.caption,
        **({"scores": scores} if track.scores else {}),
    }


def _video(video: VideoRow, number: int, files: list[str]) -> dict[str, Any]:
    return {
        "id": number,
        "width": video.width,
        "height": video.height,
        "length": video.num_frames,
        "fps": video.fps,
        "file_names": files,
        "uri": video.uri,
        "sha256": video.video_id,
    }


def _document(
    manifest: Manifest, videos: JsonList, annotations: JsonList, categories: dict[str, int]
) -> Iterator[bytes]:
    info = {
        "description": f"{manifest.name}, version {manifest.version}",
        "date_created": manifest.created_at,
    }
    listed = [{"id": number, "name": name, "supercategory": "object"} for name, number in categories.items()]
    yield b'{"info": ' + json_bytes(info) + b', "licenses": [], "videos": '
    yield from videos.chunks()
    yield b', "annotations": '
    yield from annotations.chunks()
    yield b', "categories": ' + json_bytes(listed) + b"}"
