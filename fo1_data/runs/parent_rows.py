"""Rows of an earlier dataset (`--parent`), found by the bytes of an image and carried over as they are.

A carried row keeps every label, so nothing that a person said is overwritten; its address (and embedded
bytes) are the new run's. Whether a model is asked again about regions that people drew or moved is the
labeller's affair (`stale_regions`).
"""

import hashlib

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_index import RowIndex
from fo1_data.dataset.rows import with_uris
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow
from schemas.jobs import RunConfig


class ParentRows:
    """What a run carries over. Raises DatasetError where `config.parent` is no finished dataset."""

    def __init__(self, config: RunConfig) -> None:
        assert config.parent is not None
        self._index = RowIndex(open_dataset(config.parent))
        self._limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
        self._embed = config.embed_images

    def carried(self, entry: CorpusImage) -> ImageRow | None:
        """The parent's row for the bytes at `entry`; None where it has none, or they cannot be read.

        What cannot be read is left to the labeller, which rejects it with its reason.
        """
        try:
            data = read_bytes(entry, self._limits)
        except InputReject:
            return None
        row = self._index.row(hashlib.sha256(data).hexdigest())
        if row is None:
            return None
        image = EncodedImage(bytes=data if self._embed else None, path=entry.name)
        moved = row.model_copy(update={"uri": entry.name, "uris": [entry.name], "image": image})
        return with_uris(moved, row.uris)
