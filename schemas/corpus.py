"""What a corpus says of an image, before labelling. Gold has the same form."""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from schemas.labels import MOST_COUNT
from schemas.plain_json import plain_json
from schemas.regions import Box, MaskRle

# Begins an address that stands for one that must not be written.
HIDDEN = "hidden:"
# Stands for an address that nothing has to be found by.
NOT_KEPT = f"{HIDDEN}not-kept"


def _size(value: object) -> object:
    """None for a number of pixels that no picture has: a source that declares it declares nothing."""
    return None if isinstance(value, int | float) and not 0 < value < 2**63 else value


DeclaredPixels = Annotated[int | None, BeforeValidator(_size)]


class CorpusRegion(BaseModel):
    """A box of the corpus, in the corpus' own frame (stored or EXIF-oriented pixels).

    The box is kept as read, even if it is inverted, empty or not finite: the labeller decides, and a bad
    box becomes a reject.
    """

    # NaN must survive JSON.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    box_xyxy: Box
    label: str | None = None
    caption: str | None = None
    detailed_caption: str | None = None
    text: str | None = None
    example: bool = False


class CorpusPhrase(BaseModel):
    """A phrase to ground; in gold, the regions it names (an empty list: absent; null: not known)."""

    model_config = ConfigDict(extra="forbid")

    text: str
    region_indices: list[int] | None = None


class CorpusCount(BaseModel):
    """Gold: how many instances of `text` the image shows."""

    model_config = ConfigDict(extra="forbid")

    text: str
    count: int = Field(ge=0, le=MOST_COUNT)


class CorpusAnswer(BaseModel):
    """The answer to a free question, of one region (its index) or of the whole image."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    reasoning: str | None = None
    region_index: int | None = None


class CorpusExample(BaseModel):
    """The regions of the same kind as an example, without the example itself."""

    model_config = ConfigDict(extra="forbid")

    region_index: int
    region_indices: list[int]


class GivenTrack(BaseModel):
    """One thing that a source follows through a video; in gold, what a tracker should find.

    `frames`: numbers from 0 in the order of showing, ascending. `boxes_xyxy`, `scores` and `masks` have an
    item for each of them; boxes in pixels of the frame as shown, masks of the whole frame. `label`: its
    class. Raises ValueError if lengths differ, frames do not ascend or a box is not finite.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    frames: list[int] = Field(min_length=1)
    boxes_xyxy: list[Box]
    scores: list[float | None] | None = None
    masks: list[MaskRle | None] | None = None
    label: str | None = None
    caption: str | None = None
    meta: Annotated[dict[str, Any] | None, BeforeValidator(plain_json)] = None

    @model_validator(mode="after")
    def _fit(self) -> "GivenTrack":
        numbers = self.frames
        for name in ("boxes_xyxy", "scores", "masks"):
            values = getattr(self, name)
            if values is not None and len(values) != len(numbers):
                raise ValueError(f"track {self.id}: {len(values)} {name} for {len(numbers)} frames")
        if numbers[0] < 0 or any(one >= other for one, other in pairwise(numbers)):
            raise ValueError(f"track {self.id}: its frames are not numbers from 0 that ascend")
        if not all(math.isfinite(value) for box in self.boxes_xyxy for value in box):
            raise ValueError(f"track {self.id}: a box of it is not finite")
        return self


class GivenVideo(BaseModel):
    """A video as a file of tracks tells of it. `video`: its name there, which need not be an address; `id`:
    what the file's annotations call it, if that is not its name.

    `width`, `height`: of the frame as shown, in pixels. `first_number`: what the source calls the first
    frame; `GivenTrack.frames` begin at 0 whatever it is. `frame_files`: the images of its frames, in order,
    as the source names them; null if it names none. `tracks`: null if the source has none (an empty list: it
    says that nothing is there).
    """

    model_config = ConfigDict(extra="forbid")

    video: str
    id: str | None = None
    width: DeclaredPixels = None
    height: DeclaredPixels = None
    fps: float | None = None
    num_frames: int | None = None
    first_number: Literal[0, 1] = 0
    frame_files: list[str] | None = None
    tracks: list[GivenTrack] | None = None
    meta: Annotated[dict[str, Any] | None, BeforeValidator(plain_json)] = None


class FrameFiles(BaseModel):
    """A video that is kept as images: the addresses of its frames in order, and frames a second if known."""

    model_config = ConfigDict(extra="forbid")

    addresses: list[str] = Field(min_length=1)
    fps: float | None = None


class Origin(NamedTuple):
    """Where an image really is; see the fields of `CorpusImage` of the same names."""

    uri: str
    inner: str | None = None
    inner_span: tuple[int, int] | None = None


def _is_none(value: object) -> bool:
    return value is None


class CorpusImage(BaseModel):
    """One entry of a corpus: where the pixels are, and what the source says of them.

    `uri` is absolute (a path or URL). `inner` names a member of an archive (WebDataset tar), and
    `inner_span` is its offset and length in bytes if the archive is not compressed.
    `width`, `height` are those the source declares, in pixels of its own frame; `regions` is
    null if the corpus has no boxes for the image (an empty list: it says there are none).
    `caption_phrases`: phrases of the caption with the regions they name, in the order of the caption.
    `box_unit` is `share` if the boxes are parts of the frame's width and height (YOLO).
    `tracks` are those of a video, null if they are not given. `frame_files`: the entry is a video kept as
    images, and `uri` the folder (or the file that lists them) which names it. JSON leaves both out where they
    are null, so that what depends on the JSON of other entries (ids of shards) stays as it was.
    """

    model_config = ConfigDict(extra="forbid")

    uri: str
    inner: str | None = None
    inner_span: tuple[int, int] | None = None
    id: str | None = None
    width: DeclaredPixels = None
    height: DeclaredPixels = None
    regions: list[CorpusRegion] | None = None
    box_unit: Literal["pixel", "share"] = "pixel"
    caption: str | None = None
    caption_phrases: list[CorpusPhrase] = Field(default_factory=list)
    phrases: list[CorpusPhrase] = Field(default_factory=list)
    counts: list[CorpusCount] = Field(default_factory=list)
    answers: list[CorpusAnswer] = Field(default_factory=list)
    examples: list[CorpusExample] = Field(default_factory=list)
    meta: Annotated[dict[str, Any] | None, BeforeValidator(plain_json)] = None
    tracks: list[GivenTrack] | None = Field(default=None, exclude_if=_is_none)
    frame_files: FrameFiles | None = Field(default=None, exclude_if=_is_none)

    # Of an image whose address must not be written anywhere: no JSON of the entry has it.
    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin:
        """Where the image really is. The entry's own address, unless that stands for another one."""
        return self._origin or Origin(self.uri, self.inner, self.inner_span)

    @property
    def origin_name(self) -> str:
        """The address of `origin`, with the member of an archive. Must not be written if it is hidden."""
        return f"{self.origin.uri}::{self.origin.inner}" if self.origin.inner else self.origin.uri

    @property
    def is_hidden(self) -> bool:
        """Whether the address stands for one that must not be written anywhere."""
        return self.uri.startswith(HIDDEN)

    def hidden_as(self, uri: str, inner: str | None, origin: Origin | None) -> "CorpusImage":
        """The entry under an address that stands for `origin`, which stays out of its JSON."""
        hidden = self.model_copy(update={"uri": uri, "inner": inner, "inner_span": None})
        hidden._origin = origin
        return hidden

    @property
    def name(self) -> str:
        """The address shown to people and kept as the row's `uri`."""
        return f"{self.uri}::{self.inner}" if self.inner else self.uri


class Shard(BaseModel):
    """A unit of work: some entries of the corpus, in order. `shard_id` is stable for the same list."""

    model_config = ConfigDict(extra="forbid")

    shard_id: str
    index: int
    images: list[CorpusImage]
