"""Rows of an earlier dataset (`--parent`), found by the bytes of an image and carried over as they are.

A carried row keeps every label, so nothing that a person wrote is overwritten; its address (and embedded
bytes) are those of the new run. Whether the model is asked again about regions that people drew or moved
is decided by the labeller (`stale_regions`).
"""

from fo1_data.corpus.images import image_id_of
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_index import RowIndex
from fo1_data.dataset.rows import with_uris
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow


class ParentRows:
    """The rows of the finished dataset at `address`; any thread may ask. Raises DatasetError."""

    def __init__(self, address: str, embed_images: bool) -> None:
        self._index = RowIndex(open_dataset(address))
        self._embed_images = embed_images

    def find(self, entry: CorpusImage, data: bytes, must_embed: bool = False) -> ImageRow | None:
        """The parent's row of an image with these encoded bytes, moved to the entry's address, or None.

        `must_embed`: whether it has to hold them, whatever the run's settings say.
        """
        return self.find_id(entry, image_id_of(data), data, must_embed)

    def find_id(
        self, entry: CorpusImage, image_id: str, data: bytes | None = None, must_embed: bool = False
    ) -> ImageRow | None:
        """The parent's row of the image with this id, moved to the entry's address, or None.

        data: its encoded bytes, to embed; without them, those of the parent's row.
        """
        row = self._index.row(image_id)
        if row is None:
            return None
        data = data if data is not None else row.image.bytes
        image = EncodedImage(bytes=data if self._embed_images or must_embed else None, path=entry.name)
        carried = row.model_copy(update={"uri": entry.name, "uris": [entry.name], "image": image})
        return with_uris(carried, row.uris)
