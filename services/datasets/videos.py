"""Serves videos to browsers, frame by frame as the dataset counts them.

A file that browsers play so is served as it is; of any other, and of a folder of images, a copy is made once
(`browser_copy`) and kept on disk, up to CACHE_BYTES. A video is served only if its bytes are those that were
labelled. Copies are made one at a time in a thread of their own: encoding takes all that a core gives, and
requests that wait for a copy hold no thread.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fo1_data.corpus.places import kind_of
from fo1_data.corpus.tracked_videos import video_id_of
from fo1_data.corpus.video.browser_copy import is_played_as_numbered, write_browser_copy
from fo1_data.corpus.video.frame_sequence import numbered_images
from fo1_data.corpus.video.opening import open_entry
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import DatasetError, Fo1Error, InputReject
from fo1_data.storage.addresses import local_path
from fo1_data.storage.reach import public_only
from schemas.corpus import CorpusImage, FrameFiles
from schemas.tracks import VideoRow
from services.problems import Problem
from services.storage_roots import OutsideRoots, StorageRoots

CACHE_BYTES = 20 * 2**30
_MOST_KNOWN = 1000


@dataclass(frozen=True)
class _Video:
    """Where a video of a dataset is; `fps` of its row, for one that is kept as images."""

    video_id: str
    uris: Sequence[str]
    fps: float


class VideoShelf:
    """Finds videos of datasets, and keeps their copies under `folder`.

    private_addresses: whether videos may be fetched from private networks and this machine's own ports.
    """

    def __init__(self, folder: Path, private_addresses: bool = False) -> None:
        self._folder, self._private_addresses = folder, private_addresses
        self._known: OrderedDict[tuple[str, str], _Video] = OrderedDict()
        self._played: dict[Path, tuple[str, int, int]] = {}
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="video-copy")

    async def file_of(self, dataset_address: str, video_id: str, roots: StorageRoots) -> Path:
        """Return the file to serve, once it is there. Raises a Problem of 403, 404 or 422."""
        found = await asyncio.to_thread(self._find, dataset_address, video_id, roots)
        if isinstance(found, Path):
            return found
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._maker, self._copy_of, found, video_id)

    def is_copy(self, path: Path) -> bool:
        """Return whether a file to serve is a copy of the shelf's own."""
        return self._folder in path.parents

    def _find(self, dataset_address: str, video_id: str, roots: StorageRoots) -> Path | CorpusImage:
        """The file to serve, or the video of which a copy must be made."""
        video = self._row(dataset_address, video_id)
        place = _allowed(video.uris, roots)
        copy = self._copy(video_id)
        with suppress(FileNotFoundError):  # perhaps another process has just made room
            os.utime(copy)
            return copy
        with self._reading():
            entry = _entry(place, video.fps)
            path = local_path(place)
            if path is None or entry.frame_files is not None:
                return entry
            stat = path.stat()
            state = video_id, stat.st_mtime_ns, stat.st_size
            if self._played.get(path) == state:
                return path
            _check_bytes(entry, video_id)
            with open_entry(entry) as opened:
                if not is_played_as_numbered(place, opened.info):
                    return entry
            self._played[path] = state
            return path

    def _copy_of(self, entry: CorpusImage, video_id: str) -> Path:
        copy = self._copy(video_id)
        if not copy.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            with self._reading():
                _check_bytes(entry, video_id)
                with open_entry(entry) as video:
                    write_browser_copy(video, copy)
            self._prune(copy)
        return copy

    def _row(self, dataset_address: str, video_id: str) -> _Video:
        key = dataset_address, video_id
        if key not in self._known:
            row = _find_row(dataset_address, video_id)
            self._known[key] = _Video(video_id, list(dict.fromkeys([row.uri, *row.uris])), row.fps)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]

    def _copy(self, video_id: str) -> Path:
        return self._folder / video_id[:2] / f"{video_id}.mp4"

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise what cannot be read as a Problem."""
        try:
            with public_only(not self._private_addresses):
                yield
        except InputReject as error:
            raise Problem(422, f"the video cannot be decoded: {error.message}") from None
        except Fo1Error as error:
            raise Problem(422, str(error)) from None
        except OSError:
            raise Problem(404, "the video is gone, or cannot be reached") from None

    def _prune(self, newest: Path) -> None:
        """Delete the copies that were not used for longest, until the others fit; the newest stays."""
        files = sorted(self._copies(), reverse=True)
        total = 0
        for _, num_bytes, path in files:
            total += num_bytes
            if total > CACHE_BYTES and path != newest:
                path.unlink(missing_ok=True)

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each copy was last used, its bytes and its path."""
        for path in self._folder.glob("*/*.mp4"):
            with suppress(FileNotFoundError):  # perhaps another process has just made room
                stat = path.stat()
                yield stat.st_mtime, stat.st_size, path


def _find_row(dataset_address: str, video_id: str) -> VideoRow:
    try:
        videos = open_dataset(dataset_address).videos()
        found = next((video for video in videos if video.video_id == video_id), None)
    except DatasetError as error:
        raise Problem(404, str(error)) from None
    if found is None:
        raise Problem(404, "the dataset holds no such video")
    return found


def _allowed(uris: Sequence[str], roots: StorageRoots) -> str:
    """Return the first address that the service may read."""
    for uri in uris:
        try:
            return roots.check_source(uri)
        except OutsideRoots:
            continue
    raise Problem(403, "the video is outside the storage roots of this service")


def _entry(place: str, fps: float) -> CorpusImage:
    """The video as a corpus has it: a file, or a folder of images with a rate."""
    if kind_of(place) != "folder":
        return CorpusImage(uri=place)
    return CorpusImage(uri=place, frame_files=FrameFiles(addresses=numbered_images(place), fps=fps))


def _check_bytes(entry: CorpusImage, video_id: str) -> None:
    if video_id_of(entry) != video_id:
        raise Problem(404, "the video has changed since it was labelled")
