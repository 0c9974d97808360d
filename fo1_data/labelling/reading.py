"""Reads and decodes one image of a shard, and brings it to the sizes that the model takes.

An image whose row is carried over from a parent dataset is decoded only if the
model has to look at it again. An input that cannot be used becomes a reject.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.dicom.settings import dicom_settings
from fo1_data.corpus.entry_bytes import EncodedEntry, must_embed, read_bytes, read_encoded
from fo1_data.corpus.frames import OTHER_SIZE, oriented_entry
from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.corpus.rejects import reject_from
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_names import TileName, image_of_tile, tile_name
from fo1_data.corpus.tile_reading import id_of_image, read_tile
from fo1_data.dataset.united_tiles import CARRIED, EMPTY
from fo1_data.errors import InputReject
from fo1_data.labelling.parent_rows import ParentRows
from fo1_data.labelling.stale_regions import has_stale_regions
from fo1_data.labelling.tiles import TileToLabel, tile_row
from fo1_data.model.processing import ResizedImage
from schemas.corpus import CorpusImage
from schemas.images import ImageRow, Reject
from schemas.jobs import RunConfig

_log = logging.getLogger("fo1.labeller")


@dataclass(frozen=True)
class ReadImage:
    """An image to label: its entry with boxes in the EXIF-oriented frame; `resized`: for the model's towers;
    `encoded`: bytes to embed; `tile`: which part of the image it is, if it is a tile."""

    entry: CorpusImage
    image: DecodedImage
    resized: ResizedImage
    encoded: bytes | None
    tile: TileToLabel | None = None

    @property
    def key(self) -> str:
        """Equal for equal work: the image's id, and the tile."""
        return self.image.image_id if self.tile is None else f"{self.image.image_id} {self.tile.name}"

    @property
    def num_pixels(self) -> int:
        return self.image.width * self.image.height


@dataclass(frozen=True)
class CarriedImage:
    """An image whose row is known, from the parent dataset or because it is a tile without content; `image`
    is set if regions wait for fresh labels."""

    entry: CorpusImage
    row: ImageRow
    image: DecodedImage | None

    @property
    def key(self) -> str:
        """Equal for equal work: the image's id, and the tile."""
        name = tile_name(self.entry)
        return self.row.image_id if name is None else f"{self.row.image_id} {name}"

    @property
    def num_pixels(self) -> int:
        return self.image.width * self.image.height if self.image is not None else 0


@dataclass(frozen=True)
class ReadResult:
    """What reading one entry gave: an image or none, and the rejects of the entry and its boxes.

    num_bytes: of the encoded image.
    """

    image: ReadImage | CarriedImage | None
    rejects: Sequence[Reject] = field(default=())
    num_bytes: int = 0


class EntryReader:
    """Reads entries under the settings of a run. resize: brings an image to the sizes of the towers."""

    def __init__(
        self,
        config: RunConfig,
        resize: Callable[[Image.Image], ResizedImage],
        held: Mapping[str, bytes] | None = None,
    ) -> None:
        """Open the parent dataset, if there is one. Raises DatasetError.

        held: the bytes of images that were read before, by the names of their entries; it may change.
        """
        self._held: Mapping[str, bytes] = {} if held is None else held
        self._config, self._resize = config, resize
        self._limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
        self._rendering, self._dicom = Rendering.of_run(config), dicom_settings(config)
        self._parent = ParentRows(config.parent, config.embed_images) if config.parent else None

    def read(self, entry: CorpusImage, before_pixels: Callable[[int], None] = lambda _: None) -> ReadResult:
        """Read one entry, and decode it if the model needs its pixels.

        before_pixels: called with the number of pixels before they are decoded. Raises ValueError if the
        image has no shape that the model takes.
        """
        name = tile_name(entry)
        if name is not None:
            return self._read_tile(entry, name, before_pixels)
        try:
            held = self._held.get(entry.name)
            encoded = EncodedEntry(held) if held else read_encoded(entry, self._limits, self._dicom)
            data = encoded.data
            embedded = data if self._config.embed_images or must_embed(entry) else None
            parent = None if held else self._parent
            row = parent.find(entry, data, must_embed(entry)) if parent is not None else None
            if row is not None and not has_stale_regions(row, self._config.labels):
                return ReadResult(CarriedImage(entry, row, None), num_bytes=len(data))
            sidecars = sidecars_of(entry, data, self._limits)
            image = decode_image(
                data, self._limits, self._rendering, before_pixels=before_pixels, sidecars=sidecars
            )
            for note in image.notes:
                _log.info("decoded with a warning: %s", note, extra={"about": {"image": entry.name}})
            image = replace(image, meta=encoded.meta) if encoded.meta else image
        except InputReject as error:
            return ReadResult(None, [reject_from(entry, error)])
        if row is not None:
            return ReadResult(CarriedImage(entry, row, image), num_bytes=len(data))
        oriented, box_rejects = oriented_entry(entry, image, self._config.box_frame)
        if any(reject.reason == OTHER_SIZE for reject in box_rejects):
            return ReadResult(None, box_rejects)
        read = ReadImage(oriented, image, self._resize(image.rgb), embedded)
        return ReadResult(read, box_rejects, len(data))

    def _read_tile(
        self, entry: CorpusImage, name: TileName, before_pixels: Callable[[int], None]
    ) -> ReadResult:
        """Read one tile, unless its image has a row in the parent dataset, which the whole image then takes.

        Regions of it that people changed wait for a run that reads the image as a whole.
        """
        try:
            image_id = id_of_image(image_of_tile(entry), self._limits)
            row = self._parent.find_id(entry, image_id) if self._parent is not None else None
            if row is not None:
                carried = row if name.window_xyxy is None else tile_row(entry, image_id, CARRIED)
                return ReadResult(CarriedImage(entry, carried, None))
            read = read_tile(entry, name, self._limits, self._rendering, before_pixels)
            whole = name.window_xyxy is None
            encoded = None
            if whole and self._config.embed_images:
                encoded = read_bytes(image_of_tile(entry), self._limits)
        except InputReject as error:
            return ReadResult(None, [reject_from(entry, error)])
        if read.is_empty and not whole and not entry.regions:
            return ReadResult(CarriedImage(entry, tile_row(entry, image_id, EMPTY), None))
        tile = TileToLabel(name, read.tile, entry.regions)
        resized = self._resize(read.image.rgb)
        return ReadResult(
            ReadImage(tile.entry_to_tile(entry, read.image), read.image, resized, encoded, tile)
        )
