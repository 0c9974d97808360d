"""What the exports of tracks share: names of videos and classes, and the frames as files."""

import io
from collections.abc import Sequence

from fo1_data.corpus.video.opening import open_video
from fo1_data.dataset.reader import Dataset
from fo1_data.errors import DatasetError, InputReject
from fo1_data.storage.addresses import base_name, parent
from fo1_data.storage.store import Store
from schemas.corpus import GivenTrack
from schemas.tracks import VideoRow

NO_CLASS = "object"
_JPEG_QUALITY = 95
# A folder of frames that has the name of none in particular.
_FRAMES = "img1"
_REFUSED = '\\:*?"<>|#%'


class VideoNames:
    """A folder name for each video of an export, by its file's name; no two are equal."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, video: VideoRow) -> str:
        """The name of a video that was not named yet."""
        address = video.uri.partition("::")[0]
        own = base_name(parent(address)) if base_name(address) == _FRAMES else base_name(address)
        stem = own.rpartition(".")[0] or own or "video"
        stem = "".join("_" if c in _REFUSED or not c.isprintable() else c for c in stem)
        if stem.casefold() in self._taken:
            stem = f"{stem}-{video.video_id[:8]}"
        self._taken.add(stem.casefold())
        return stem


def classes_of(dataset: Dataset) -> list[str]:
    """What the sources of boxes call the tracks, sorted; `NO_CLASS` if some track has no name."""
    return sorted({track.source_label or NO_CLASS for track in dataset.tracks()})


def class_of(track: GivenTrack) -> str:
    """The class of a track."""
    return track.label or NO_CLASS


def require_videos(dataset: Dataset, form: str) -> None:
    """Raise DatasetError if a dataset has no videos."""
    if next(dataset.videos(), None) is None:
        raise DatasetError(
            f"{dataset.store.url} has no videos, so no tracks for {form}: label videos with a --tracker"
        )


def copy_frames(video: VideoRow, store: Store, paths: Sequence[str]) -> int:
    """Write the frames of a video as JPEG, one under each path; how many. Raises DatasetError."""
    num = 0
    try:
        with open_video(video.uri, video.fps) as opened:
            for frame in opened.frames(last=len(paths)):
                if num < len(paths):
                    buffer = io.BytesIO()
                    frame.image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
                    store.write_bytes(paths[num], buffer.getvalue())
                num += 1
    except InputReject as error:
        raise DatasetError(f"the frames of {video.uri} cannot be copied: {error.message}") from error
    if num != len(paths):
        counts = f"it has {num if num < len(paths) else 'more'}, not {len(paths)}"
        raise DatasetError(f"the frames of {video.uri} cannot be copied: {counts}")
    return num
