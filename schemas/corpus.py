"""What a corpus says of an image, before labelling. Gold has the same form."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from schemas.labels import MOST_COUNT
from schemas.plain_json import plain_json
from schemas.regions import Box

# Begins an address that stands for one that must not be written.
HIDDEN = "hidden:"
# Stands for an address that nothing has to be found by.
NOT_KEPT = f"{HIDDEN}not-kept"


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


class Origin(NamedTuple):
    """Where an image really is; see the fields of `CorpusImage` of the same names."""

    uri: str
    inner: str | None = None
    inner_span: tuple[int, int] | None = None


class CorpusImage(BaseModel):
    """One entry of a corpus: where the pixels are, and what the source says of them.

    `uri` is absolute (a path or URL). `inner` names a member of an archive (WebDataset tar), and
    `inner_span` is its offset and length in bytes if the archive is not compressed.
    `width`, `height` are those the source declares, in pixels of its own frame; `regions` is
    null if the corpus has no boxes for the image (an empty list: it says there are none).
    `caption_phrases`: phrases of the caption with the regions they name, in the order of the caption.
    `box_unit` is `share` if the boxes are parts of the frame's width and height (YOLO).
    """

    model_config = ConfigDict(extra="forbid")

    uri: str
    inner: str | None = None
    inner_span: tuple[int, int] | None = None
    id: str | None = None
    width: int | None = None
    height: int | None = None
    regions: list[CorpusRegion] | None = None
    box_unit: Literal["pixel", "share"] = "pixel"
    caption: str | None = None
    caption_phrases: list[CorpusPhrase] = Field(default_factory=list)
    phrases: list[CorpusPhrase] = Field(default_factory=list)
    counts: list[CorpusCount] = Field(default_factory=list)
    answers: list[CorpusAnswer] = Field(default_factory=list)
    examples: list[CorpusExample] = Field(default_factory=list)
    meta: Annotated[dict[str, Any] | None, BeforeValidator(plain_json)] = None

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
