"""Serves videos to browsers, frame by frame as the dataset counts them.

A file that browsers play so is served as it is; of any other, a copy is made once (`browser_copy`) and kept
on disk, up to CACHE_BYTES. Reads storage and encodes: call its methods in threads.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from fo1_data.corpus.video.browser_copy import is_played_as_numbered, write_browser_copy
from fo1_data.corpus.video.opening import open_video
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import DatasetError, Fo1Error, InputReject
from fo1_data.storage.addresses import local_path
from fo1_data.storage.reach import public_only
from schemas.tracks import VideoRow
from services.problems import Problem
from services.storage_roots import OutsideRoots, StorageRoots

CACHE_BYTES = 20 * 2**30


class VideoShelf:
    """Finds videos of datasets, and keeps their copies under `folder`.

    private_addresses: whether videos may be fetched from private networks and this machine's own ports.
    """

    def __init__(self, folder: Path, private_addresses: bool = False) -> None:
        self._folder, self._private_addresses = folder, private_addresses
        self._making = threading.Lock()

    def file_of(self, dataset_address: str, video_id: str, roots: StorageRoots) -> Path:
        """Return the file to serve. Raises a Problem of 403, 404 or 422."""
        copy = self._folder / video_id[:2] / f"{video_id}.mp4"
        if copy.is_file():
            os.utime(copy)
            return copy
        places = _allowed(_find(dataset_address, video_id), roots)
        if not places:
            raise Problem(403, "the video is outside the storage roots of this service")
        try:
            with public_only(not self._private_addresses):
                return self._file(places[0], copy)
        except InputReject as error:
            raise Problem(422, f"the video cannot be decoded: {error.message}") from None
        except Fo1Error as error:
            raise Problem(422, str(error)) from None
        except OSError:
            raise Problem(404, "the video is gone, or cannot be reached") from None

    def _file(self, place: str, copy: Path) -> Path:
        with open_video(place) as video:
            path = local_path(place)
            if path is not None and is_played_as_numbered(place, video.info):
                return path
            # One at a time: encoding takes all that a core gives.
            with self._making:
                if not copy.is_file():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    write_browser_copy(video, copy)
                    self._prune(copy)
            return copy

    def _prune(self, newest: Path) -> None:
        """Delete the copies that were not used for longest, until the others fit; the newest stays."""
        files = sorted(
            ((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*/*.mp4")),
            reverse=True,
        )
        total = 0
        for _, num_bytes, path in files:
            total += num_bytes
            if total > CACHE_BYTES and path != newest:
                path.unlink(missing_ok=True)


def _find(dataset_address: str, video_id: str) -> VideoRow:
    try:
        videos = open_dataset(dataset_address).videos()
        found = next((video for video in videos if video.video_id == video_id), None)
    except DatasetError as error:
        raise Problem(404, str(error)) from None
    if found is None:
        raise Problem(404, "the dataset holds no such video")
    return found


def _allowed(video: VideoRow, roots: StorageRoots) -> Sequence[str]:
    """Return the addresses of the video that the service may read."""
    allowed = []
    for uri in dict.fromkeys([video.uri, *video.uris]):
        try:
            allowed.append(roots.check_source(uri))
        except OutsideRoots:
            continue
    return allowed
