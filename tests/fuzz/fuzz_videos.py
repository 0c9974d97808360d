"""Videos with bytes changed: frames of the size that the video says, or a reject in one line."""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from changed_bytes import changed_anywhere, changed_bytes
from fuzz_outcomes import check_line
from fuzz_target import Runner, check
from PIL import Image

from fo1_data.corpus.video.listing import list_frames, read_frame
from fo1_data.corpus.video.opening import open_video
from fo1_data.errors import ConfigError, InputReject
from schemas.corpus import CorpusImage

_MOST_FRAMES = 40


@contextmanager
def videos(folder: Path) -> Iterator[Runner]:
    from clip_samples import write_clip, x264

    clips = {
        "a.mp4": write_clip(folder / "a.mp4", 5, options=x264(3, 1)),
        "b.mkv": write_clip(folder / "b.mkv", 4, options=x264(2, 0)),
        "c.avi": write_clip(folder / "c.avi", 3, codec="mjpeg", pixel_format="yuvj420p"),
    }
    samples = {name: path.read_bytes() for name, path in clips.items()}
    place = folder / "changed"
    place.mkdir()

    def run(chance: random.Random) -> str:
        name = chance.choice(list(samples))
        data = samples[name]
        is_in_head = chance.random() < 0.5
        data = changed_bytes(data, data[::-1], chance) if is_in_head else changed_anywhere(data, chance)
        path = place / name
        path.write_bytes(data)
        outcome = _watched(path)
        if chance.random() < 0.5:
            _listed(path)
        return outcome

    yield run


def _watched(path: Path) -> str:
    """All frames, each in its place."""
    try:
        with open_video(str(path)) as video:
            info = video.info
            check(info.num_frames > 0, "a video without a frame")
            check(info.duration_s >= 0 and info.fps > 0, info)
            numbers = []
            for frame in video.frames(last=_MOST_FRAMES):
                check(frame.image.size == (info.width, info.height), frame.image.size, "in", info)
                check(frame.image.mode == "RGB", frame.image.mode)
                numbers.append(frame.number)
            shown = min(info.num_frames, _MOST_FRAMES + 1)
            check(numbers == sorted(set(numbers)), "frames come twice:", numbers)
            check(len(numbers) + video.num_undecodable == shown, numbers, video.num_undecodable, info)
    except InputReject as reject:
        check(bool(reject.reason and reject.message), "a reject without words")
        check_line(reject.message)
        return "rejected"
    if info.fault:
        check_line(info.fault)
    return "with a fault" if info.fault or len(numbers) < shown else "whole"


def _listed(path: Path) -> None:
    """Frames of a corpus, at regular times."""
    try:
        items = []
        for item in list_frames(CorpusImage(uri=str(path)), 0.2):
            items.append(item)
            if len(items) == 3:
                break
    except ConfigError as error:
        check_line(str(error))
        return
    for item in items:
        if not isinstance(item, CorpusImage):
            check_line(item.message)
            continue
        try:
            data = read_frame(item)
        except InputReject as reject:
            check_line(reject.message)
            continue
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            check(picture.mode == "RGB", picture.mode)
