"""MOT challenge: a folder a video, `seqinfo.ini`, `gt/gt.txt`, `gt/labels.txt`, and frames in `img1/` where
asked.

A line is `frame, id, left, top, width, height, 1, class, 1`; frames, ids and the coordinates of pixels are
numbered from 1, as the challenge has them. A class is what the source of the boxes calls the thing. Scores,
captions, answers and confidences have no place in the form. That nothing is known of the visibility cannot be
said in it: all is 1.
"""

from collections.abc import Iterator, Mapping, Sequence

from fo1_data.dataset.exports.videos import (
    NO_CLASS,
    VideoNames,
    class_of,
    classes_of,
    copy_frames,
    require_videos,
)
from fo1_data.dataset.given_videos import iterate_videos
from fo1_data.dataset.reader import Dataset
from fo1_data.storage.store import Store
from schemas.corpus import GivenTrack
from schemas.tracks import VideoRow


def export_mot(dataset: Dataset, store: Store, *, copy_images: bool = False) -> dict[str, int]:
    """Write every video; returns how many videos, tracks and boxes, and how many captions were left out.

    `copy_images`: write the frames as JPEG. Raises DatasetError without videos, or if a frame cannot be read.
    """
    require_videos(dataset, "mot")
    classes = classes_of(dataset)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    written = dict.fromkeys(("videos", "tracks", "boxes", "frames", "captions_left_out"), 0)
    names = VideoNames()
    for video, given in iterate_videos(dataset):
        name, tracks = names.name(video), given.tracks or []
        lines = list(mot_lines(tracks, numbers))
        store.write_bytes(f"{name}/seqinfo.ini", _info(name, video).encode())
        store.write_bytes(f"{name}/gt/gt.txt", "".join(lines).encode())
        store.write_bytes(f"{name}/gt/labels.txt", "".join(map(_line_of_class, classes)).encode())
        if copy_images:
            paths = [f"{name}/img1/{number:06d}.jpg" for number in range(1, video.num_frames + 1)]
            written["frames"] += copy_frames(video, store, paths)
        written["videos"] += 1
        written["tracks"] += len(tracks)
        written["boxes"] += len(lines)
        written["captions_left_out"] += sum(track.caption is not None for track in tracks)
    return written


def mot_lines(tracks: Sequence[GivenTrack], class_numbers: Mapping[str, int]) -> Iterator[str]:
    """The lines of a video's tracks by frame; the n-th track has the id n. Coordinates to a thousandth."""
    boxes = [
        (frame, number, box, class_numbers[class_of(track)])
        for number, track in enumerate(tracks, start=1)
        for frame, box in zip(track.frames, track.boxes_xyxy, strict=True)
    ]
    for frame, number, (left, top, right, bottom), class_number in sorted(boxes, key=lambda box: box[:2]):
        place = (f"{value:.3f}" for value in (left + 1, top + 1, right - left, bottom - top))
        yield f"{frame + 1},{number},{','.join(place)},1,{class_number},1\n"


def _line_of_class(label: str) -> str:
    """The name of a class on one line: its place among the lines is its number."""
    return (" ".join(label.split()) or NO_CLASS) + "\n"


def _info(name: str, video: VideoRow) -> str:
    fields = {
        "name": name,
        "imDir": "img1",
        "frameRate": f"{video.fps:.6g}",
        "seqLength": video.num_frames,
        "imWidth": video.width,
        "imHeight": video.height,
        "imExt": ".jpg",
    }
    return "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in fields.items())
