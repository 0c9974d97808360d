"""What the source files of a corpus hold, and what became of it."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ContentKind(StrEnum):
    """What is counted in a source. `SIDECARS`: files that belong to one image (label files, texts).

    `BOXES` includes the boxes of `TRACKS`, one for each frame of a track.
    """

    IMAGES = "images"
    BOXES = "boxes"
    CAPTIONS = "captions"
    PHRASES = "phrases"
    TEXTS = "texts"
    COUNTS = "counts"
    ANSWERS = "answers"
    SIDECARS = "sidecars"
    TRACKS = "tracks"


Tally = dict[ContentKind, int]


class SourceCounts(BaseModel):
    """One source: found = attached + rejected for every kind; kinds that do not occur are left out.

    `rejects`: how many rejects are of this source; `reasons`: the messages of the first of them.
    `notes`: what a reader had to decide, such as which of two named images a file belongs to.
    `videos`: how many of the attached images are whole videos; of a listing, kept in no document.
    """

    model_config = ConfigDict(extra="forbid")

    source: str
    found: Tally = {}
    attached: Tally = {}
    rejected: Tally = {}
    rejects: int = 0
    reasons: list[str] = []
    notes: list[str] = []
    videos: int = Field(default=0, exclude=True)

    @model_validator(mode="after")
    def _conserve(self) -> "SourceCounts":
        for kind in {*self.found, *self.attached, *self.rejected}:
            found, kept = self.found.get(kind, 0), self.attached.get(kind, 0) + self.rejected.get(kind, 0)
            if found != kept:
                raise ValueError(f"{self.source}: {found} {kind} found, {kept} attached or rejected")
        return self
