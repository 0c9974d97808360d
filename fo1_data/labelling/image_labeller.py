"""Labels images in one process: bytes in, rows and rejects out.

Reading and decoding run in threads ahead of the model. A bad image is a reject, never an
exception; images of equal bytes are labelled once. Importing this module loads no model code.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.corpus.rejects import reject_from
from fo1_data.errors import InputReject
from fo1_data.labelling.examples import with_examples
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.word_lists import OWN_WORDS, read_phrases, refuse_unsupported
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, Provenance, Reject, RejectStage
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

if TYPE_CHECKING:
    from fo1_data.model.engine.engine import OpenImage
    from fo1_data.proposals.proposer import Proposals

_READ_THREADS = 4
_PIXELS_A_BATCH = 50_000_000


@dataclass(frozen=True)
class _Opened:
    """An image that decoded: its entry in the oriented frame, and its bytes where they are embedded."""

    entry: CorpusImage
    image: DecodedImage
    encoded: bytes | None


def split_of(image_id: str, validation_share: float, test_share: float) -> str:
    """The split of an image by the hash that its id is: `test`, `validation` or `train`."""
    place = int(image_id[:8], 16) / 2**32
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"


class ImageLabeller:
    """A model, a proposer, and the questions of a run. Raises ConfigError and CheckpointError at once."""

    def __init__(self, config: RunConfig) -> None:
        from fo1_data.config import corpus_name
        from fo1_data.labelling.second_questions import SecondRound
        from fo1_data.model.checkpoint import checkpoint_sha256, load_checkpoint
        from fo1_data.model.device import choose_device, choose_dtype
        from fo1_data.model.engine.engine import Fo1Engine
        from fo1_data.model.prompts import PROMPTS_VERSION
        from fo1_data.proposals.load import load_proposer

        refuse_unsupported(config)
        device = choose_device(config.device)
        dtype_name, dtype = choose_dtype(config.dtype, device)
        checkpoint = load_checkpoint(config.model, device=device, dtype=dtype)
        self._config = config
        self._engine = Fo1Engine(checkpoint, max_bytes=config.engine_bytes)
        self._proposer = load_proposer(
            config.proposals,
            device=device,
            score_floor=config.score_floor,
            nms_iou=config.nms_iou,
            max_proposals=config.max_proposals,
            vocabulary=[word for word in config.vocabulary if word != OWN_WORDS],
        )
        self._limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
        self._phrases = read_phrases(config.phrases)
        self._corpus = corpus_name(config)
        self._second = SecondRound(frozenset(config.second_questions), config.unsure_below)
        self.identity = LabellerIdentity(
            model_name=Path(config.model).name if Path(config.model).exists() else config.model,
            model_sha256=checkpoint_sha256(checkpoint.folder),
            model_licence=checkpoint.config.licence,
            proposer_name=self._proposer.name,
            proposer_sha256=self._proposer.sha256,
            proposer_licence=self._proposer.licence,
            prompts_version=PROMPTS_VERSION,
            dtype=dtype_name,
        )

    def label_entries(self, entries: list[CorpusImage]) -> tuple[list[ImageRow], list[Reject]]:
        """Rows in the order of the entries, and a reject for every entry or box that gave none."""
        rows: list[ImageRow] = []
        rejects: list[Reject] = []
        seen: dict[str, ImageRow] = {}
        for batch in self._batches(entries, rejects):
            fresh: list[_Opened] = []
            repeated: list[_Opened] = []
            for one in batch:
                known = one.image.image_id in seen or any(
                    one.image.image_id == f.image.image_id for f in fresh
                )
                (repeated if known else fresh).append(one)
            made = self._label_or_halve(fresh, rejects)
            seen |= {row.image_id: row for row in made}
            rows += made
            for one in repeated:
                row = seen.get(one.image.image_id)
                if row is not None and one.entry.name not in row.uris:
                    row.uris.append(one.entry.name)
        return rows, rejects

    def relabel(self, entry: CorpusImage, row: ImageRow) -> ImageRow:
        """The row of an earlier dataset, its stale regions asked about again; else, and where it does not
        fit the device, as it is."""
        from fo1_data.labelling.stale_regions import ask_again

        image = decode_rgb(read_bytes(entry, self._limits), self._limits)
        try:
            return ask_again(self._engine, row, image, self._config.labels, self._config.max_new_tokens)
        except MemoryError:
            return row

    def _batches(self, entries: Sequence[CorpusImage], rejects: list[Reject]) -> Iterator[list[_Opened]]:
        """Decoded images a batch at a time, the next ones being read meanwhile.

        A batch ends early, and nothing more is read ahead, once it holds many pixels: memory stays
        bounded whatever the images' sizes.
        """
        with ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read") as pool:
            following = iter(entries)
            ahead = deque(pool.submit(self._read, entry) for entry in islice(following, _READ_THREADS))
            batch: list[_Opened] = []
            while ahead:
                opened, found = ahead.popleft().result()
                rejects += found
                if opened is not None:
                    batch.append(opened)
                full = len(batch) == self._config.batch_images or _num_pixels(batch) > _PIXELS_A_BATCH
                room = 1 if _num_pixels(batch) > _PIXELS_A_BATCH else _READ_THREADS - len(ahead)
                ahead.extend(pool.submit(self._read, entry) for entry in islice(following, max(room, 0)))
                if full:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _read(self, entry: CorpusImage) -> tuple[_Opened | None, list[Reject]]:
        try:
            data = read_bytes(entry, self._limits)
            image = decode_rgb(data, self._limits)
        except InputReject as error:
            return None, [reject_from(entry, error)]
        given = self._proposer.give([entry])[0]
        turned, bad_boxes = oriented_entry(given, image, self._config.box_frame)
        return _Opened(turned, image, data if self._config.embed_images else None), bad_boxes

    def _label_or_halve(self, batch: list[_Opened], rejects: list[Reject]) -> list[ImageRow]:
        """Label a batch; where memory runs out, its halves; a single image that does not fit is a reject."""
        if not batch:
            return []
        try:
            return self._label(batch)
        except MemoryError as error:
            if len(batch) == 1:
                problem = InputReject(RejectStage.LABEL, "out_of_memory", str(error), replayable=True)
                rejects.append(reject_from(batch[0].entry, problem))
                return []
        middle = len(batch) // 2
        return self._label_or_halve(batch[:middle], rejects) + self._label_or_halve(batch[middle:], rejects)

    def _label(self, batch: list[_Opened]) -> list[ImageRow]:
        from fo1_data.labelling.questions import plan_questions
        from fo1_data.labelling.rows import Answered, fill_row
        from fo1_data.model.engine.engine import Question

        proposed, examples = self._propose(batch)
        opened = self._open(batch, proposed)
        try:
            planned = [
                plan_questions(
                    self._config.labels,
                    image,
                    self._vocabulary_of(one.entry),
                    self._phrases_of(one.entry),
                    marked,
                    self._config.question,
                )
                for one, image, marked in zip(batch, opened, examples, strict=True)
            ]
            questions = [
                Question(image, question.text, question.chunk, self._config.max_new_tokens)
                for image, of_image in zip(opened, planned, strict=True)
                for question in of_image
            ]
            answers = iter(self._engine.ask(questions))
            rows, told = [], []
            for one, image, of_image, proposals in zip(batch, opened, planned, proposed, strict=True):
                row = self._row(one, proposals)
                answered = [Answered(question, next(answers)) for question in of_image]
                told.append((image, fill_row(row, one.entry, image, answered)))
                rows.append(row)
            self._second.ask(self._engine, told)
            return rows
        finally:
            self._engine.close(opened)

    def _propose(self, batch: list[_Opened]) -> "tuple[list[Proposals], list[list[int]]]":
        """The boxes of each image, and which of them are examples to find more of."""
        proposed = self._proposer.propose([one.image.rgb for one in batch], [one.entry for one in batch])
        if LabelKind.VISUAL_EXAMPLE not in self._config.labels:
            return proposed, [[] for _ in batch]
        pairs = [with_examples(one.entry, boxes) for one, boxes in zip(batch, proposed, strict=True)]
        return [boxes for boxes, _ in pairs], [marked for _, marked in pairs]

    def _open(self, batch: list[_Opened], proposed: "list[Proposals]") -> "list[OpenImage]":
        return self._engine.open(
            [
                (one.image.rgb, np.asarray(proposals.boxes_xyxy, dtype=np.float32))
                for one, proposals in zip(batch, proposed, strict=True)
            ]
        )

    def _vocabulary_of(self, entry: CorpusImage) -> list[str]:
        """The words to detect and count; `@corpus` among them stands for what the image's own counts name."""
        words = [word for word in self._config.vocabulary if word != OWN_WORDS]
        own = [count.text for count in entry.counts] if OWN_WORDS in self._config.vocabulary else []
        return [*words, *own]

    def _phrases_of(self, entry: CorpusImage) -> list[str]:
        return self._phrases or [phrase.text for phrase in entry.phrases]

    def _row(self, one: _Opened, proposals: "Proposals") -> ImageRow:
        from fo1_data.labelling.rows import make_regions

        identity, image, name = self.identity, one.image, one.entry.name
        return ImageRow(
            image_id=image.image_id,
            uri=name,
            uris=[name],
            corpus=self._corpus,
            split=split_of(image.image_id, self._config.validation_share, self._config.test_share),
            source_id=one.entry.id,
            image=EncodedImage(bytes=one.encoded, path=name),
            width=image.width,
            height=image.height,
            orientation=image.orientation,
            regions=make_regions(image, proposals),
            provenance=Provenance(
                job_id=os.environ.get("FO1_JOB_ID"),
                model=identity.model_name,
                model_sha256=identity.model_sha256,
                proposer=identity.proposer_name,
                prompts_version=identity.prompts_version,
                licence=identity.model_licence,
                labelled_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )


def _num_pixels(batch: Sequence[_Opened]) -> int:
    return sum(one.image.width * one.image.height for one in batch)
