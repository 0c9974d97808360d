"""Batches of images on their way to the model: read, given boxes, and on a CPU with several cores encoded.

While a batch is labelled the next ones are read, and where threads help the engine they are encoded too, from
one shard into the next. What goes wrong ahead is raised when the batch's turn has come.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fo1_data.labelling.examples import with_examples
from fo1_data.labelling.read_ahead import (
    MAX_WAITING_PIXELS,
    MAX_WAITING_PIXELS_OF_GPU,
    Read,
    ReadAhead,
    ReadBatch,
    Reading,
)
from fo1_data.labelling.reading import ReadImage
from fo1_data.model.engine.encoding_threads import Encoding
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage
from fo1_data.model.processing import PreparedImage
from fo1_data.proposals.proposer import Proposals, Proposer
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

_NUM_AHEAD = 2


@dataclass(frozen=True)
class StartedImages:
    """Images with their boxes, while they are encoded. examples: indices of the boxes that are examples."""

    images: Sequence[ReadImage]
    proposals: Sequence[Proposals]
    examples: Sequence[Sequence[int]]
    prepared: Sequence[PreparedImage]
    encoding: Encoding


class ImageStarter:
    """Finds the boxes of images and begins to encode them."""

    def __init__(self, engine: Fo1Engine, proposer: Proposer, config: RunConfig) -> None:
        self._engine, self._proposer = engine, proposer
        self._with_examples = LabelKind.VISUAL_EXAMPLE in config.labels

    def start(self, images: Sequence[ReadImage]) -> StartedImages:
        """Raises MemoryError if the proposer's memory runs out."""
        entries = [image.entry for image in images]
        proposed = self._proposer.propose([image.image.rgb for image in images], entries)
        proposed = [
            boxes if image.tile is None else image.tile.own(boxes)
            for image, boxes in zip(images, proposed, strict=True)
        ]
        examples: list[list[int]] = [[] for _ in images]
        if self._with_examples:
            pairs = [with_examples(entry, boxes) for entry, boxes in zip(entries, proposed, strict=True)]
            proposed, examples = [boxes for boxes, _ in pairs], [marked for _, marked in pairs]
        place_boxes = self._engine.checkpoint.processor.place_boxes
        prepared = [
            place_boxes(image.resized, np.asarray(boxes.boxes_xyxy, dtype=np.float32))
            for image, boxes in zip(images, proposed, strict=True)
        ]
        return StartedImages(images, proposed, examples, prepared, self._engine.start_encoding(prepared))

    def open(self, started: StartedImages) -> list[OpenImage]:
        """Finish the encoding. Raises MemoryError."""
        return self._engine.open_encoded(started.prepared, started.encoding)


@dataclass
class StartedBatch:
    """A batch that was read. new: the images that are labelled, those of bytes not seen before in the shard.

    started: these, or what went wrong when they were started; None if there are none.
    """

    read: ReadBatch
    new: list[ReadImage] = field(default_factory=list)
    started: StartedImages | Exception | None = None


class BatchesAhead:
    """The batches of the shard in work, and those after them."""

    def __init__(self, read: Read, starter: ImageStarter, engine: Fo1Engine, batch_images: int) -> None:
        on_cpu = engine.checkpoint.model.device.type == "cpu"
        self._reads = ReadAhead(
            read, batch_images, MAX_WAITING_PIXELS if on_cpu else MAX_WAITING_PIXELS_OF_GPU
        )
        self._starter, self._engine = starter, engine
        self._ahead: deque[tuple[Reading, StartedBatch]] = deque()

    def announce(self, entries: Sequence[CorpusImage]) -> None:
        """These entries come after those in work. Any thread may call it."""
        self._reads.announce(entries)

    def begin(self, entries: Sequence[CorpusImage]) -> Reading:
        """Begin with these entries: what was begun ahead is used if they are of an announced list."""
        reading = self._reads.start(entries)
        self._cancel([entry for entry in self._ahead if not self._reads.holds(entry[0])])
        return reading

    def next(self, reading: Reading) -> StartedBatch | None:
        """The next batch; None at the end. Raises what reading an image raised."""
        first = next((entry for entry in self._ahead if entry[0] is reading), None)
        if first is not None:
            self._ahead.remove(first)
            batch = first[1]
        else:
            read = self._reads.next_batch(reading)
            if read is None:
                return None
            batch = self._start(reading, read)
        self._start_ahead()
        return batch

    def end(self, reading: Reading) -> None:
        """Nothing more of this reading is wanted, for whatever reason."""
        self._reads.finish(reading)
        self._cancel([entry for entry in self._ahead if entry[0] is reading])

    def _start_ahead(self) -> None:
        while self._engine.num_helpers and len(self._ahead) < _NUM_AHEAD:
            ready = self._reads.ready_batch()
            if ready is None:
                return
            self._ahead.append((ready[0], self._start(*ready)))

    def _start(self, reading: Reading, read: ReadBatch) -> StartedBatch:
        batch = StartedBatch(read)
        for image in read.images:
            if isinstance(image, ReadImage) and image.key not in reading.seen:
                batch.new.append(image)
            reading.seen.add(image.key)
        if batch.new:
            try:
                batch.started = self._starter.start(batch.new)
            except Exception as error:
                batch.started = error
        return batch

    def _cancel(self, entries: Sequence[tuple[Reading, StartedBatch]]) -> None:
        for entry in entries:
            self._ahead.remove(entry)
            if isinstance(entry[1].started, StartedImages):
                entry[1].started.encoding.cancel()
