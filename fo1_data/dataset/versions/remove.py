"""The next version without an image or a video: no row, reject, duplicate or correction of it is left.

With an image that is a keyframe, videos and tracks lose the keyframe. With a video its tracks and all its
keyframes go. Files that hold none of it are taken over as they are. The version it is removed from is not
touched.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import numpy_to_array, to_array
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.layout import VIDEOS
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_batches import files_of, places_of, read_batches, regular_batches, without_images
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.versions.derive import VersionWriter, counts_of
from fo1_data.dataset.versions.video_tables import (
    rewrite_tracks,
    rewrite_videos,
    rows_with,
    rows_with_keyframes,
    without_keyframes,
)
from fo1_data.errors import DatasetError
from fo1_data.plurals import counted
from fo1_data.storage.addresses import normalise
from schemas.dataset import Counts, Manifest
from schemas.images import ImageRow, Reject
from schemas.tracks import Track, VideoRow


@dataclass(frozen=True)
class ImageToRemove:
    """An image of a dataset: its id, every address of it, and its number of regions.

    Of a video: its id and addresses, and the ids of its keyframes; `num_regions` is 0.
    """

    image_id: str
    files: list[str]
    num_regions: int
    keyframes: list[str] | None = None

    @property
    def text(self) -> str:
        number = (
            counted(self.num_regions, "region")
            if self.keyframes is None
            else counted(len(self.keyframes), "keyframe")
        )
        return f"{', '.join(self.files) or self.image_id} with {number}"

    def described(self) -> dict[str, object]:
        """What was removed, as JSON values."""
        if self.keyframes is not None:
            return {"video_id": self.image_id, "files": self.files, "keyframes": len(self.keyframes)}
        return {"image_id": self.image_id, "files": self.files, "regions": self.num_regions}


def find_image(address: str, name: str) -> ImageToRemove:
    """The image or video that `name` means: an id, an address, or the last parts of a path, such as a name.

    Raises DatasetError if the dataset has none, or several.
    """
    dataset = open_dataset(address)
    exact: dict[str, ImageToRemove] = {}
    alike: dict[str, ImageToRemove] = {}
    full = normalise(name)
    for image in chain(_videos(dataset), _images(dataset)):
        if image.image_id == name or name in image.files or full in image.files:
            exact[image.image_id] = image
        elif any(uri.endswith(f"/{name.removeprefix('./')}") for uri in image.files):
            alike[image.image_id] = image
    for reject in dataset.rejects():
        if reject.image_id == name and not exact:
            exact[name] = ImageToRemove(name, [reject.uri], 0)
    matches = list((exact or alike).values())
    if len(matches) > 1:
        places = ", ".join(image.files[0] for image in matches[:3])
        raise DatasetError(
            f"{name} means {len(matches)} images ({places}): write more of the path, or the id"
        )
    if not matches:
        raise DatasetError(f"{dataset.store.url} has no image {name}")
    return matches[0]


def _videos(dataset: Dataset) -> Iterator[ImageToRemove]:
    for batch in dataset.batches_of(VIDEOS, ["video_id", "uris", "keyframes"]):
        for record in batch.to_pylist():
            keyframes = dict.fromkeys(keyframe["image_id"] for keyframe in record["keyframes"])
            yield ImageToRemove(record["video_id"], record["uris"], 0, list(keyframes))


def _images(dataset: Dataset) -> Iterator[ImageToRemove]:
    columns = ["image_id", "uris", "regions.list.element.index"]
    for file in dataset.data_files():
        for batch in read_batches(dataset.store, file.path, columns=columns):
            num_regions = pc.list_value_length(batch["regions"])
            values = (column.to_pylist() for column in (batch["image_id"], batch["uris"], num_regions))
            for image_id, uris, number in zip(*values, strict=True):
                yield ImageToRemove(image_id, uris or [], number or 0)


def remove_image(address: str, image_id: str, out: str) -> Manifest:
    """Write the dataset at `address` without the image into `out` and return its manifest.

    Raises DatasetError if the dataset has no such image, or if `out` is not empty.
    """
    return _remove(address, ImageToRemove(image_id, [], 0), out)


def remove_video(address: str, video: ImageToRemove, out: str) -> Manifest:
    """Write the dataset at `address` without a video of `find_image` into `out` and return its manifest.

    Raises DatasetError if `out` is not empty.
    """
    return _remove(address, video, out)


def _remove(address: str, image: ImageToRemove, out: str) -> Manifest:
    dataset = open_dataset(address)
    gone = frozenset([image.image_id, *(image.keyframes or [])])
    image_ids = to_array(sorted(gone), pa.string())
    touched = files_of(dataset, image_ids)
    removed = [count_rows(_rows_of(dataset, path, image_ids)) for path in sorted(touched)]
    uris = {uri for path in touched for row in _rows_of(dataset, path, image_ids) for uri in row.uris}
    uris |= set(image.files)
    frames = tuple(f"{uri}::" for uri in image.files)
    rejects = list(dataset.rejects())

    def is_of_image(reject: Reject) -> bool:
        is_frame = image.keyframes is not None and reject.uri.startswith(frames)
        return reject.image_id in gone or reject.uri in uris or is_frame

    if not uris and not any(is_of_image(reject) for reject in rejects):
        raise DatasetError(f"{dataset.store.url} has no image {image.image_id}")
    # The id is not kept; its hash shows whoever has the id that this image was removed.
    trace = hashlib.sha256(image.image_id.encode()).hexdigest()
    writer = VersionWriter(out, dataset.manifest, {"remove": trace}, dataset.store.url)
    for file in dataset.data_files():
        if file.path in touched:
            batches = regular_batches(dataset.store, file.path)
            writer.rewrite(file.path, (without_images(batch, image_ids) for batch in batches))
        else:
            writer.share(dataset.store, file)
    _write_tables(writer, dataset, gone, image_ids)
    return writer.seal(
        next_version(dataset.manifest.version),
        [reject for reject in rejects if not is_of_image(reject)],
        [entry for entry in dataset.manifest.duplicates if entry.image_id not in gone],
        history=dataset.history().without(gone),
        base_counts=counts_of(dataset) - sum(removed, Counts()),
    )


def _write_tables(writer: VersionWriter, dataset: Dataset, gone: frozenset[str], ids: pa.StringArray) -> None:
    """Write the videos and tracks without those of the videos `gone`, and without the keyframes `gone`."""

    def touches(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        return rows_with_keyframes(batch, ids) | rows_with(batch, "video_id", ids)

    def without_video(video: VideoRow) -> VideoRow | None:
        return without_keyframes(video, gone) if video.video_id not in gone else None

    def without_track(track: Track) -> Track | None:
        return without_keyframes(track, gone) if track.video_id not in gone else None

    rewrite_videos(writer, dataset, touches, without_video)
    rewrite_tracks(writer, dataset, touches, without_track)


def _rows_of(dataset: Dataset, path: str, image_ids: pa.StringArray) -> Iterator[ImageRow]:
    for batch in read_batches(dataset.store, path):
        yield from table_to_rows(batch.take(numpy_to_array(places_of(batch, image_ids))))
