"""The next version without an image: no row, reject, duplicate or correction of it is left.

Files that do not hold the image are taken over as they are. The version it is removed from is not touched.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import numpy_to_array, to_array
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_batches import files_of, places_of, read_batches, regular_batches, without_images
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.versions.derive import VersionWriter, counts_of
from fo1_data.errors import DatasetError
from fo1_data.plurals import counted
from fo1_data.storage.addresses import normalise
from schemas.dataset import Manifest
from schemas.images import ImageRow, Reject


@dataclass(frozen=True)
class ImageToRemove:
    """An image of a dataset: its id, every address of it, and its number of regions."""

    image_id: str
    files: list[str]
    num_regions: int

    @property
    def text(self) -> str:
        return f"{', '.join(self.files) or self.image_id} with {counted(self.num_regions, 'region')}"


def find_image(address: str, name: str) -> ImageToRemove:
    """The image that `name` means: an id, an address, or the last parts of a path, such as a file name.

    Raises DatasetError if the dataset has none, or several.
    """
    dataset = open_dataset(address)
    exact: dict[str, ImageToRemove] = {}
    alike: dict[str, ImageToRemove] = {}
    full = normalise(name)
    for image in _images(dataset):
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
    dataset = open_dataset(address)
    image_ids = to_array([image_id], pa.string())
    touched = files_of(dataset, image_ids)
    removed = [row for path in touched for row in _rows_of(dataset, path, image_ids)]
    uris = {uri for row in removed for uri in row.uris}
    rejects = list(dataset.rejects())

    def is_of_image(reject: Reject) -> bool:
        return reject.image_id == image_id or reject.uri in uris

    if not uris and not any(is_of_image(reject) for reject in rejects):
        raise DatasetError(f"{dataset.store.url} has no image {image_id}")
    # The id is not kept; its hash shows whoever has the id that this image was removed.
    trace = hashlib.sha256(image_id.encode()).hexdigest()
    writer = VersionWriter(out, dataset.manifest, {"remove": trace}, dataset.store.url)
    for file in dataset.data_files():
        if file.path in touched:
            batches = regular_batches(dataset.store, file.path)
            writer.rewrite(file.path, (without_images(batch, image_ids) for batch in batches))
        else:
            writer.share(dataset.store, file)
    return writer.seal(
        next_version(dataset.manifest.version),
        [reject for reject in rejects if not is_of_image(reject)],
        [entry for entry in dataset.manifest.duplicates if entry.image_id != image_id],
        history=dataset.history().only(lambda other_id: other_id != image_id),
        base_counts=counts_of(dataset) - count_rows(removed),
    )


def _rows_of(dataset: Dataset, path: str, image_ids: pa.StringArray) -> Iterator[ImageRow]:
    for batch in read_batches(dataset.store, path):
        yield from table_to_rows(batch.take(numpy_to_array(places_of(batch, image_ids))))
