"""WebDataset tars: `<split>-NNNNN.tar` of at most 1,000 images; a sample is the encoded image and a JSON.

The JSON is the whole row without its pixels, as in the Parquet columns. Key: the image's id.
"""

import io
import tarfile

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.card import splits_of
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.pixels import suffix_of_bytes, with_bytes
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.storage.store import Store
from schemas.images import ImageRow

IMAGES_PER_TAR = 1_000
BYTES_PER_TAR = 256 * 2**20


def export_webdataset(dataset: Dataset, store: Store, limits: InputLimits) -> dict[str, int]:
    """Write every split; returns how many images and tars."""
    images = tars = 0
    for split in splits_of(dataset.manifest.files):
        pending: list[tuple[ImageRow, bytes]] = []
        number = pending_bytes = 0
        rows = map(without_stale, light_rows(dataset, split, signals=True))
        for row, data in with_bytes(rows, limits):
            pending.append((row, data))
            pending_bytes += len(data)
            if len(pending) == IMAGES_PER_TAR or pending_bytes >= BYTES_PER_TAR:
                store.write_bytes(f"{split}-{number:05d}.tar", tar_of(pending))
                images, tars, number = images + len(pending), tars + 1, number + 1
                pending, pending_bytes = [], 0
        if pending:
            store.write_bytes(f"{split}-{number:05d}.tar", tar_of(pending))
            images, tars = images + len(pending), tars + 1
    return {"images": images, "tars": tars}


def tar_of(samples: list[tuple[ImageRow, bytes]]) -> bytes:
    """The samples as a tar; times and owners are zero, so that equal samples give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for row, data in samples:
            document = row.model_dump_json(exclude={"image"}).encode()
            for name, content in (
                (f"{row.image_id}.{suffix_of_bytes(data)}", data),
                (f"{row.image_id}.json", document),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
