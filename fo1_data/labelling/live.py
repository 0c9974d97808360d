"""Live labelling: questions about single images, answered at once, those of many callers in one batch.

Decoded images and open prefixes are cached, least recently used ones are evicted first: a second question
about an image and its boxes costs the question alone, another box of a cached image needs no reading or
decoding. One caller at a time; knows no server.
"""

import base64
import binascii
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from fo1_data.boxes import as_boxes, clip_boxes
from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
from fo1_data.labelling.asking import RowQuestions, fill_rows
from fo1_data.labelling.loading import load_models
from fo1_data.labelling.questions import QuestionPlan
from fo1_data.labelling.rows import make_regions
from fo1_data.model.engine.questions import OpenImage
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, RejectStage
from schemas.labels import LabelKind
from schemas.live import NEEDS_BYTES, LiveAnswer, LiveRequest
from schemas.regions import Box

MAX_CACHED_PIXELS = 200_000_000
MAX_CACHED_PREFIXES = 32
MAX_NEW_TOKENS = 64
# An image, and how its values became colours if it is a raster.
_Shown = tuple[str, str]
_POINTING = (LabelKind.GROUND, LabelKind.DETECT, LabelKind.COUNT)


@dataclass(frozen=True)
class LiveProblem:
    """A request that cannot be answered: an HTTP status, and why."""

    status: int
    detail: str


@dataclass(frozen=True)
class _OpenRequest:
    """A request with its image open. `is_warm`: the prefix was cached."""

    request: LiveRequest
    image: DecodedImage
    proposals: Proposals
    open_image: OpenImage
    is_warm: bool


class LiveLabeller:
    """A model, the bundled detector, and a cache of the images they were asked about last."""

    def __init__(
        self,
        model: str = "fo1-tiny",
        device: str | None = None,
        limits: InputLimits | None = None,
        max_cached_prefixes: int = MAX_CACHED_PREFIXES,
    ) -> None:
        """Load the model. Raises CheckpointError."""
        models = load_models(model, "fo1-tiny", device=device)
        self.model, self.model_sha256 = model, models.identity.model_sha256
        self._engine, self._proposer = models.engine, models.proposer
        self._limits = limits or InputLimits()
        self._max_cached_prefixes = max_cached_prefixes
        self._images: OrderedDict[_Shown, DecodedImage] = OrderedDict()
        self._prefixes: OrderedDict[tuple[_Shown, tuple[Box, ...]], OpenImage] = OrderedDict()

    def answer(self, requests: Sequence[LiveRequest]) -> list[LiveAnswer | LiveProblem]:
        """Answers in the order of the requests, all asked as one batch."""
        started_s = time.perf_counter()
        opened = [self._open(request) for request in requests]
        rows = iter(self._ask([entry for entry in opened if isinstance(entry, _OpenRequest)]))
        seconds = time.perf_counter() - started_s
        self._evict()
        return [
            self._answer(entry, next(rows), seconds) if isinstance(entry, _OpenRequest) else entry
            for entry in opened
        ]

    def _ask(self, opened: Sequence[_OpenRequest]) -> list[ImageRow | LiveProblem]:
        """The requests' rows, filled. Where a question does not fit on the device, each is asked alone."""
        rows = [_empty_row(entry) for entry in opened]
        questions = [
            RowQuestions(
                row,
                CorpusImage(uri=row.uri),
                entry.open_image,
                entry.image.rgb,
                _plan(entry.request).of(entry.open_image),
            )
            for row, entry in zip(rows, opened, strict=True)
        ]
        try:
            fill_rows(self._engine, questions)
        except MemoryError as error:
            if len(opened) == 1:
                return [LiveProblem(422, str(error))]
            return [answer for entry in opened for answer in self._ask([entry])]
        return [*rows]

    def _open(self, request: LiveRequest) -> _OpenRequest | LiveProblem:
        problem = _problem_of(request)
        if problem is not None:
            return problem
        try:
            image = self._image(request)
        except InputReject as error:
            return LiveProblem(422, f"the image cannot be used: {error.message}")
        if image is None:
            return LiveProblem(NEEDS_BYTES, "the image is not held here: send its bytes")
        proposals = self._proposals(request, image)
        if len(proposals.boxes_xyxy) == 0 and any(kind is not LabelKind.ASK for kind in request.kinds):
            if request.boxes_xyxy is not None:
                return LiveProblem(422, "no box has an area within the image")
            proposals = _whole_image(image)
        key = ((image.image_id, _shown(request)[1]), tuple(map(tuple, proposals.boxes_xyxy.tolist())))
        cached = self._prefixes.get(key)
        if cached is not None:
            self._prefixes.move_to_end(key)
            return _OpenRequest(request, image, proposals, cached, is_warm=True)
        try:
            opened = self._engine.open([(image.rgb, proposals.boxes_xyxy)])[0]
        except MemoryError as error:
            return LiveProblem(422, f"the image does not fit on the device: {error}")
        self._prefixes[key] = opened
        return _OpenRequest(request, image, proposals, opened, is_warm=False)

    def _image(self, request: LiveRequest) -> DecodedImage | None:
        image = self._images.get(_shown(request))
        if image is None:
            if request.image_base64 is None:
                return None
            try:
                data = base64.b64decode(request.image_base64, validate=True)
            except (binascii.Error, ValueError):
                raise InputReject(RejectStage.DECODE, "not_base64", "its bytes are not base64") from None
            image = decode_image(data, self._limits, Rendering(raster=request.raster))
            if image.image_id != request.image_id:
                raise InputReject(RejectStage.DECODE, "other_image", "its bytes are not those of image_id")
        self._images[_shown(request)] = image
        self._images.move_to_end(_shown(request))
        return image

    def _proposals(self, request: LiveRequest, image: DecodedImage) -> Proposals:
        if request.boxes_xyxy is None:
            return self._proposer.propose([image.rgb], [CorpusImage(uri=image.image_id)])[0]
        boxes = clip_boxes(as_boxes(request.boxes_xyxy), (image.width, image.height))
        kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return Proposals(boxes[kept])

    def _answer(
        self, opened: _OpenRequest, row: ImageRow | LiveProblem, seconds: float
    ) -> LiveAnswer | LiveProblem:
        if isinstance(row, LiveProblem):
            return row
        return LiveAnswer(
            image_id=opened.image.image_id,
            width=row.width,
            height=row.height,
            regions=row.regions,
            groundings=row.groundings,
            counts=row.counts,
            answers=row.answers,
            caption=row.caption,
            model=self.model,
            model_sha256=self.model_sha256,
            warm=opened.is_warm,
            seconds=round(seconds, 4),
        )

    def _evict(self) -> None:
        while len(self._prefixes) > self._max_cached_prefixes:
            _, evicted = self._prefixes.popitem(last=False)
            self._engine.close([evicted])
        while len(self._images) > 1 and self._cached_pixels() > MAX_CACHED_PIXELS:
            self._images.popitem(last=False)

    def _cached_pixels(self) -> int:
        return sum(image.width * image.height for image in self._images.values())


def _problem_of(request: LiveRequest) -> LiveProblem | None:
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


def _plan(request: LiveRequest) -> QuestionPlan:
    return QuestionPlan(
        request.kinds,
        vocabulary=request.phrases,
        phrases=request.phrases,
        question=request.question,
        max_new_tokens=MAX_NEW_TOKENS,
    )


def _shown(request: LiveRequest) -> _Shown:
    return request.image_id, "" if request.raster is None else request.raster.model_dump_json()


def _whole_image(image: DecodedImage) -> Proposals:
    return Proposals(np.array([[0, 0, image.width, image.height]], dtype=np.float32))


def _empty_row(opened: _OpenRequest) -> ImageRow:
    image = opened.image
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
        regions=make_regions(image, opened.proposals),
    )
