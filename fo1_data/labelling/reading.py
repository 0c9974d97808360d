"""Reads and decodes the images of a shard, in threads ahead of the model.

Every image is read once. An image whose row is carried over from a parent dataset is decoded only if the
model has to look at it again. An input that cannot be used becomes a reject.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import OTHER_SIZE, oriented_entry
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.corpus.rejects import reject_from
from fo1_data.errors import InputReject
from fo1_data.labelling.parent_rows import ParentRows
from fo1_data.labelling.stale_regions import has_stale_regions
from schemas.corpus import CorpusImage
from schemas.images import ImageRow, Reject
from schemas.jobs import RunConfig

_THREADS = 4
_MAX_BATCH_PIXELS = 50_000_000


@dataclass(frozen=True)
class ReadImage:
    """An image to label: its entry with boxes in the EXIF-oriented frame; `encoded`: bytes to embed."""

    entry: CorpusImage
    image: DecodedImage
    encoded: bytes | None

    @property
    def image_id(self) -> str:
        return self.image.image_id

    @property
    def num_pixels(self) -> int:
        return self.image.width * self.image.height


@dataclass(frozen=True)
class CarriedImage:
    """An image whose row comes from the parent dataset; `image` is set if regions wait for fresh labels."""

    entry: CorpusImage
    row: ImageRow
    image: DecodedImage | None

    @property
    def image_id(self) -> str:
        return self.row.image_id

    @property
    def num_pixels(self) -> int:
        return self.image.width * self.image.height if self.image is not None else 0


@dataclass(frozen=True)
class ReadResult:
    """What reading one entry gave: an image or none, and the rejects of the entry and its boxes."""

    image: ReadImage | CarriedImage | None
    rejects: Sequence[Reject] = field(default=())


class EntryReader:
    """Reads entries under the settings of a run."""

    def __init__(self, config: RunConfig) -> None:
        """Open the parent dataset, if there is one. Raises DatasetError."""
        self._config = config
        self._limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
        self._parent = ParentRows(config.parent, config.embed_images) if config.parent else None

    def read(self, entry: CorpusImage) -> ReadResult:
        """Read one entry, and decode it if the model needs its pixels."""
        try:
            data = read_bytes(entry, self._limits)
            row = self._parent.find(entry, data) if self._parent is not None else None
            if row is not None and not has_stale_regions(row, self._config.labels):
                return ReadResult(CarriedImage(entry, row, None))
            image = decode_rgb(data, self._limits)
        except InputReject as error:
            return ReadResult(None, [reject_from(entry, error)])
        if row is not None:
            return ReadResult(CarriedImage(entry, row, image))
        oriented, box_rejects = oriented_entry(entry, image, self._config.box_frame)
        if any(reject.reason == OTHER_SIZE for reject in box_rejects):
            return ReadResult(None, box_rejects)
        encoded = data if self._config.embed_images else None
        return ReadResult(ReadImage(oriented, image, encoded), box_rejects)


def read_batches(
    read: Callable[[CorpusImage], ReadResult],
    entries: Iterable[CorpusImage],
    batch_images: int,
    rejects: list[Reject],
    on_image: Callable[[], None] = lambda: None,
) -> Iterator[list[ReadImage | CarriedImage]]:
    """Images in the order of the entries, a batch at a time, the next ones being read meanwhile.

    A batch ends early, and nothing more is read ahead, once it holds many pixels, so that memory stays
    bounded whatever the sizes of the images. Rejects are added to `rejects`.
    on_image: called after each entry that was read or rejected.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read") as pool:
        remaining = iter(entries)
        ahead = deque(pool.submit(read, entry) for entry in islice(remaining, _THREADS))
        batch: list[ReadImage | CarriedImage] = []
        while ahead:
            result = ahead.popleft().result()
            rejects += result.rejects
            on_image()
            if result.image is not None:
                batch.append(result.image)
            is_large = sum(image.num_pixels for image in batch) > _MAX_BATCH_PIXELS
            num_more = 1 if is_large else _THREADS - len(ahead)
            ahead.extend(pool.submit(read, entry) for entry in islice(remaining, max(num_more, 0)))
            if len(batch) == batch_images or is_large:
                yield batch
                batch = []
        if batch:
            yield batch
