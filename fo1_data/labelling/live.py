"""Live labelling: questions about single images, answered at once, many askers' in one batch.

Decoded images and open prefixes are kept, least recently used ones leave: a second question about an
image and its boxes costs only the question, another box of a known image no reading and decoding.
One caller at a time; knows no server.
"""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from fo1_data.boxes import as_boxes, clip_boxes
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow
from schemas.labels import LabelKind
from schemas.live import NOT_HELD, LiveAnswer, LiveRequest
from schemas.regions import Box

if TYPE_CHECKING:
    from fo1_data.model.engine.engine import OpenImage
    from fo1_data.proposals.proposer import Proposals

HELD_PIXELS = 200_000_000
HELD_PREFIXES = 32
MAX_NEW_TOKENS = 64
_POINTING = (LabelKind.GROUND, LabelKind.DETECT, LabelKind.COUNT)


@dataclass(frozen=True)
class LiveProblem:
    """A request that cannot be answered: a status of HTTP, and why."""

    status: int
    detail: str


@dataclass(frozen=True)
class _Opened:
    """A request with its image open; `first`: it was opened for this very request."""

    request: LiveRequest
    image: DecodedImage
    proposals: "Proposals"
    open: "OpenImage"
    first: bool


class LiveLabeller:
    """A model, the bundled detector, and what they were asked about last."""

    def __init__(
        self,
        model: str = "fo1-tiny",
        device: str | None = None,
        limits: InputLimits | None = None,
        held_prefixes: int = HELD_PREFIXES,
    ) -> None:
        """Load. Raises CheckpointError where the model does not."""
        from fo1_data.model.checkpoint import checkpoint_sha256, load_checkpoint
        from fo1_data.model.device import choose_device, choose_dtype
        from fo1_data.model.engine.engine import Fo1Engine
        from fo1_data.proposals.load import load_proposer

        chosen = choose_device(device)
        _, dtype = choose_dtype(None, chosen)
        checkpoint = load_checkpoint(model, device=chosen, dtype=dtype)
        self.model, self.model_sha256 = model, checkpoint_sha256(checkpoint.folder)
        self._engine = Fo1Engine(checkpoint)
        self._proposer = load_proposer("fo1-tiny", device=chosen)
        self._limits = limits or InputLimits()
        self._held_prefixes = held_prefixes
        self._images: OrderedDict[str, DecodedImage] = OrderedDict()
        self._prefixes: OrderedDict[tuple[str, tuple[Box, ...]], OpenImage] = OrderedDict()

    def answer(self, requests: Sequence[LiveRequest]) -> list[LiveAnswer | LiveProblem]:
        """Answers in the order of the requests, all asked as one batch."""
        from fo1_data.labelling.questions import plan_questions
        from fo1_data.labelling.rows import Answered, fill_row
        from fo1_data.model.engine.engine import Question

        started_s = time.perf_counter()
        opened = [self._open(request) for request in requests]
        sound = [one for one in opened if isinstance(one, _Opened)]
        planned = [
            plan_questions(
                one.request.kinds,
                one.open,
                one.request.phrases,
                one.request.phrases,
                question=one.request.question,
            )
            for one in sound
        ]
        questions = [
            Question(one.open, question.text, question.chunk, MAX_NEW_TOKENS)
            for one, of_image in zip(sound, planned, strict=True)
            for question in of_image
        ]
        said = iter(self._engine.ask(questions))
        rows = []
        for one, of_image in zip(sound, planned, strict=True):
            row = _empty_row(one)
            answered = [Answered(question, next(said)) for question in of_image]
            fill_row(row, CorpusImage(uri=row.uri), one.open, answered)
            rows.append(self._answer(one, row, time.perf_counter() - started_s))
        self._let_go()
        made = iter(rows)
        return [next(made) if isinstance(one, _Opened) else one for one in opened]

    def _open(self, request: LiveRequest) -> _Opened | LiveProblem:
        problem = _missing(request)
        if problem is not None:
            return problem
        try:
            image = self._image(request)
        except InputReject as error:
            return LiveProblem(422, f"the image cannot be used: {error.message}")
        if image is None:
            return LiveProblem(NOT_HELD, "the image is not held here: send its bytes")
        proposals = self._proposals(request, image)
        if len(proposals.boxes_xyxy) == 0 and any(kind is not LabelKind.ASK for kind in request.kinds):
            if request.boxes_xyxy is not None:
                return LiveProblem(422, "no box has an area within the image")
            proposals = _whole_image(image)
        key = (image.image_id, tuple(map(tuple, proposals.boxes_xyxy.tolist())))
        held = self._prefixes.get(key)
        if held is None:
            try:
                held = self._engine.open([(image.rgb, proposals.boxes_xyxy)])[0]
            except MemoryError as error:
                return LiveProblem(422, f"the image does not fit the device: {error}")
            self._prefixes[key] = held
            return _Opened(request, image, proposals, held, first=True)
        self._prefixes.move_to_end(key)
        return _Opened(request, image, proposals, held, first=False)

    def _image(self, request: LiveRequest) -> DecodedImage | None:
        held = self._images.get(request.image_id)
        if held is None:
            if request.image_base64 is None:
                return None
            try:
                data = base64.b64decode(request.image_base64, validate=True)
            except (binascii.Error, ValueError):
                raise InputReject("decode", "not_base64", "its bytes are not base64") from None
            held = decode_rgb(data, self._limits)
        self._images[request.image_id] = held
        self._images.move_to_end(request.image_id)
        return held

    def _proposals(self, request: LiveRequest, image: DecodedImage) -> "Proposals":
        from fo1_data.proposals.proposer import Proposals

        if request.boxes_xyxy is None:
            return self._proposer.propose([image.rgb], [CorpusImage(uri=image.image_id)])[0]
        boxes = clip_boxes(as_boxes(request.boxes_xyxy), (image.width, image.height))
        kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return Proposals(boxes[kept])

    def _answer(self, one: _Opened, row: ImageRow, seconds: float) -> LiveAnswer:
        return LiveAnswer(
            image_id=one.image.image_id,
            width=row.width,
            height=row.height,
            regions=row.regions,
            groundings=row.groundings,
            counts=row.counts,
            answers=row.answers,
            caption=row.caption,
            model=self.model,
            model_sha256=self.model_sha256,
            warm=not one.first,
            seconds=round(seconds, 4),
        )

    def _let_go(self) -> None:
        while len(self._prefixes) > self._held_prefixes:
            _, leaving = self._prefixes.popitem(last=False)
            self._engine.close([leaving])
        while len(self._images) > 1 and self._held_pixels() > HELD_PIXELS:
            self._images.popitem(last=False)

    def _held_pixels(self) -> int:
        return sum(image.width * image.height for image in self._images.values())


def _missing(request: LiveRequest) -> LiveProblem | None:
    if any(kind in _POINTING for kind in request.kinds) and not request.phrases:
        return LiveProblem(422, "phrases: ground, detect and count need some")
    for box in request.boxes_xyxy or []:
        if not (all(map(isfinite, box)) and box[2] > box[0] and box[3] > box[1]):
            return LiveProblem(422, f"boxes_xyxy: {list(box)} has no area")
    if LabelKind.ASK in request.kinds and not request.question:
        return LiveProblem(422, "question: the label kind ask needs one")
    if LabelKind.VISUAL_EXAMPLE in request.kinds:
        return LiveProblem(422, "kinds: visual_example is not answered live")
    return None


def _whole_image(image: DecodedImage) -> "Proposals":
    from fo1_data.proposals.proposer import Proposals

    return Proposals(np.array([[0, 0, image.width, image.height]], dtype=np.float32))


def _empty_row(one: _Opened) -> ImageRow:
    from fo1_data.labelling.rows import make_regions

    image = one.image
    return ImageRow(
        image_id=image.image_id,
        uri=image.image_id,
        uris=[image.image_id],
        corpus="live",
        split="live",
        image=EncodedImage(),
        width=image.width,
        height=image.height,
        orientation=image.orientation,
        regions=make_regions(image, one.proposals),
    )
