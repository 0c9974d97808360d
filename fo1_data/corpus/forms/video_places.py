"""Where the videos are that a file of tracks names: a video file, a folder of frames, or a list of frames."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fo1_data.corpus.forms.image_lookup import has_image_suffix
from fo1_data.corpus.places import ImagePlaces, kind_of
from fo1_data.corpus.video.frame_sequence import numbered_images
from fo1_data.corpus.video.listing import is_video
from fo1_data.errors import CorpusError
from fo1_data.storage.addresses import is_web, join, parent
from schemas.corpus import FrameFiles, GivenVideo

# Finds the address of an image or a video by a name; None if it is not there.
Find = Callable[[str], str | None]


@dataclass(frozen=True)
class VideoPlace:
    """`uri` of a corpus entry, its `inner` if `uri` alone does not tell it from others, and its frames."""

    uri: str
    inner: str | None = None
    frames: FrameFiles | None = None


def place_of_named(video: GivenVideo, roots: Sequence[str]) -> VideoPlace | None:
    """The place of a video by its name: a video file or a folder of frames in one of `roots`."""
    for root in roots:
        try:
            address = join(root, video.video)
        except ValueError:  # no file has such a name
            continue
        if is_web(address) and is_video(address):
            return VideoPlace(address)
        kind = kind_of(address)
        if kind == "file" and is_video(address):
            return VideoPlace(address)
        if kind == "folder" and (images := numbered_images(address)):
            return VideoPlace(address, frames=FrameFiles(addresses=images, fps=video.fps))
    return None


def places_of_listed(videos: Sequence[GivenVideo], address: str, find: Find) -> list[VideoPlace | str]:
    """For each video that lists its frames its place, or the name of a frame that is not there.

    A video is told by the folder of its frames, if they are all in one and no other video has it; else by the
    file at `address` that lists it and its name there.
    """
    found: list[list[str] | str] = []
    for video in videos:
        addresses: list[str] = []
        missing = None
        for name in video.frame_files or [video.video]:
            frame = find(name)
            if frame is None:
                missing = name
                break
            addresses.append(frame)
        found.append(addresses if missing is None else missing)
    folders = [{parent(frame) for frame in one} if isinstance(one, list) else set() for one in found]
    used = Counter(folder for of_video in folders for folder in of_video)
    places: list[VideoPlace | str] = []
    for video, one, of_video in zip(videos, found, folders, strict=True):
        if isinstance(one, str):
            places.append(one)
        elif len(one) == 1 and is_video(one[0]) and video.frame_files is None:
            places.append(VideoPlace(one[0]))
        else:
            folder = next(iter(of_video))
            is_own = len(of_video) == 1 and used[folder] == 1
            frames = FrameFiles(addresses=one, fps=video.fps)
            places.append(VideoPlace(folder if is_own else address, None if is_own else video.video, frames))
    return places


def find_in(places: ImagePlaces) -> Find:
    """A finder by the places of a file's images; a place that cannot be looked at has nothing."""

    def find(name: str) -> str | None:
        try:
            return places.look(name)
        except (OSError, ValueError, CorpusError):
            return None

    return find


def frames_of_file_names(names: object) -> list[str] | None:
    """The frames that a video lists; None if it lists none."""
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return names if all(has_image_suffix(name) for name in names) else None
