"""What a reviewer is shown of one image. Annotations are compared with it to find corrections.

Made from a dataset's row (`shown_from_rows`) and kept compressed in the outbox, so that a review outlives
the dataset's folder. Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max. Every region
has a `mark`, its result id in Label Studio: the region's id. Equal boxes of older reviews have marks such as
`ID#2`, which Label Studio cuts at the `#`; they are read with the ids and marks that they would have now.
"""

import zlib
from collections.abc import Collection
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from schemas.labels import LabelKind
from schemas.regions import Box, MaskRle, number_equal_ids
from services.label_studio.labelling_config import ANSWERS, BOX, CAPTION, COUNTS, MASK, PHRASES, TEXT_FIELDS

# The box, in a question about one.
REGION = "{region}"
UNKNOWN_CONFIDENCE = 0.5
_MAX_WORDS_CHARACTERS = 40


class ShownTrack(BaseModel):
    """The boxes of a thing in the frames of a clip, in order. Frames that are at most `every` apart are
    neighbours; others have a gap between them, in which nothing is shown."""

    model_config = ConfigDict(extra="forbid")

    frames: list[int]
    boxes_xyxy: list[Box]
    every: int = 1


class ShownClip(BaseModel):
    """A video as it is played: at a constant rate, in frames that count from 0."""

    model_config = ConfigDict(extra="forbid")

    num_frames: int
    fps: float
    duration_s: float


class ShownRegion(BaseModel):
    """A box with its texts by label kind (`""`: the model was asked and answered no text).

    `source_label`: its class in the corpus. `detector_label`: what the detector calls it. `doubtful`: drawn
    so that it stands out. `mask_rle`: its pixels, shown in place of the box. Of a video it is a track:
    `region_id` is the track's id, `box_xyxy` its first box.
    """

    model_config = ConfigDict(extra="forbid")

    mark: str
    region_id: str
    box_xyxy: Box
    texts: dict[LabelKind, str] = {}
    source_label: str | None = None
    detector_label: str | None = None
    reasons: list[str] = []
    doubtful: bool = False
    mask_rle: MaskRle | None = None
    track: ShownTrack | None = None

    @property
    def shape_field(self) -> str:
        """The name of the field that holds its shape."""
        return BOX if self.mask_rle is None else MASK


class ShownPhrase(BaseModel):
    """A phrase and the regions (by `mark`) it names; no regions: the phrase is absent from the image."""

    model_config = ConfigDict(extra="forbid")

    kind: LabelKind
    phrase: str
    marks: list[str]
    region_ids: list[str]

    @property
    def example_mark(self) -> str | None:
        """The mark of a visual example's region: the phrase is the region's id; None for other kinds."""
        return self.phrase if self.kind is LabelKind.VISUAL_EXAMPLE else None


class ShownCount(BaseModel):
    """How many of a phrase there are."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    count: int
    region_ids: list[str]


class ShownAnswer(BaseModel):
    """A free question with its answer. `mark`: the region it is about, null for the whole image."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    mark: str | None = None


class ShownImage(BaseModel):
    """One image as a reviewer sees it. `reasons`: of the labels of the whole image.

    `clip`: it is a video, `image_id` is the video's id, and the regions are tracks.
    `view_xyxy`: the rectangle of a large image that is shown, in whole pixels; null: the whole image. Boxes
    are in the frame of the image all the same.
    """

    model_config = ConfigDict(extra="forbid")

    image_id: str
    width: int
    height: int
    view_xyxy: tuple[int, int, int, int] | None = None
    clip: ShownClip | None = None
    title: str
    regions: list[ShownRegion] = []
    phrases: list[ShownPhrase] = []
    counts: list[ShownCount] = []
    answers: list[ShownAnswer] = []
    caption: str | None = None
    reasons: list[str] = []
    score: float = UNKNOWN_CONFIDENCE

    @model_validator(mode="after")
    def _number_equal_regions(self) -> Self:
        """Give equal boxes ids and marks of their own; phrases and answers keep their regions."""
        region_ids = number_equal_ids(region.region_id for region in self.regions)
        if region_ids == [region.region_id for region in self.regions]:
            return self
        marks = {region.mark: new for region, new in zip(self.regions, region_ids, strict=True)}
        for region in self.regions:
            region.mark = region.region_id = marks[region.mark]
        for part in self.phrases:
            part.marks = [marks[mark] for mark in part.marks]
            part.region_ids = part.marks or part.region_ids
        for answer in self.answers:
            answer.mark = marks.get(answer.mark or "")
        return self

    @property
    def picture_wh(self) -> tuple[int, int]:
        """Width and height of what is shown of the image, in its pixels."""
        x_min, y_min, x_max, y_max = self.view_xyxy or (0, 0, self.width, self.height)
        return x_max - x_min, y_max - y_min

    def in_picture(self, box_xyxy: Box) -> Box:
        """Return a box of the image in the frame of what is shown of it."""
        return shifted(box_xyxy, -1, self.view_xyxy)

    def in_image(self, box_xyxy: Box) -> Box:
        """Return a box in the frame of what is shown in that of the image."""
        return shifted(box_xyxy, 1, self.view_xyxy)

    def packed(self) -> bytes:
        """Return the document, compressed."""
        return zlib.compress(self.model_dump_json(exclude_defaults=True).encode(), 6)


def shifted(box_xyxy: Box, sign: int, view_xyxy: tuple[int, int, int, int] | None) -> Box:
    """Return a box moved by the corner of a view, forward (`sign` 1) or back (-1)."""
    if view_xyxy is None:
        return box_xyxy
    across, down = sign * view_xyxy[0], sign * view_xyxy[1]
    x_min, y_min, x_max, y_max = box_xyxy
    return (x_min + across, y_min + down, x_max + across, y_max + down)


def num_labels_of(shown: ShownImage) -> int:
    """Return how many labels a person judges in this image."""
    num_texts = sum(len(region.texts) for region in shown.regions)
    return num_texts + len(shown.phrases) + len(shown.counts) + len(shown.answers)


def unpack(data: bytes) -> ShownImage:
    """Return the document that `packed` has compressed."""
    return ShownImage.model_validate_json(zlib.decompress(data))


def box_words(shown: ShownImage) -> dict[str, str]:
    """Return the name of each box (by `mark`) in texts for people: its number, and its caption or class."""
    names = {}
    for number, region in enumerate(shown.regions, start=1):
        detected = f"detector: {region.detector_label}" if region.detector_label else ""
        caption = region.texts.get(LabelKind.BRIEF_CAPTION) or region.source_label or detected
        words = shortened(caption)
        names[region.mark] = f"box {number} ({words})" if words else f"box {number}"
    return names


def fields_of(shown: ShownImage) -> set[str]:
    """Return the names of the fields of a project that show this image whole."""
    fields = {TEXT_FIELDS[kind] for region in shown.regions for kind in region.texts}
    parts = {PHRASES: shown.phrases, CAPTION: shown.caption, COUNTS: shown.counts, ANSWERS: shown.answers}
    fields |= {MASK for region in shown.regions if region.mask_rle is not None}
    return fields | {name for name, part in parts.items() if part}


def without_fields(shown: ShownImage, silent: Collection[str]) -> ShownImage:
    """Return what is shown without what the `silent` fields hold: an annotation says nothing about it."""
    kinds = {kind for kind, name in TEXT_FIELDS.items() if name not in silent}
    regions = [
        region.model_copy(
            update={"texts": {kind: text for kind, text in region.texts.items() if kind in kinds}}
        )
        for region in shown.regions
    ]
    return shown.model_copy(
        update={
            "regions": regions,
            "phrases": [] if PHRASES in silent else shown.phrases,
            "caption": None if CAPTION in silent else shown.caption,
            "counts": [] if COUNTS in silent else shown.counts,
            "answers": [] if ANSWERS in silent else shown.answers,
        }
    )


def shortened(text: str, max_characters: int = _MAX_WORDS_CHARACTERS) -> str:
    """Return a text on one line, cut off with an ellipsis."""
    words = " ".join(text.split())
    return words if len(words) <= max_characters else f"{words[:max_characters].rstrip()}…"
