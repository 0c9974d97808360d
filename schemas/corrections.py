"""Corrections: the changes that people made in a review, each with the value that it replaces.

A correction names its target as the reviewed dataset names it; `before` is the old value, `after` the right
one. Boxes: absolute pixels of the EXIF-oriented image, or of the frame as shown, x_min y_min x_max y_max. A
file of corrections is JSON Lines, one correction per line. This module applies nothing: that is merging.

A correction with `track_id` and without `region_id` is about a track of a video; `image_id` is the video's
`video_id`. Frames count from 0 in the order of showing. What people do to a track, and what a merge makes of
it:

- `RECAPTIONED` (`kind`, `after.text`), `VERDICT` (`kind`, `right`; of a phrase or question with `subject`),
  `ANSWERED` (`subject`, `after.text`), `RENAMED` (`after.text`): the track's label, and the same label of the
  track's region in every keyframe, unless a person has said something about that one.
- `MOVED`, `ADDED` (`frame`, `after.box_xyxy`): the track's box in this frame is this one; in a keyframe the
  region moves with it. `ADDED` with a `track_id` that the dataset does not have begins a track that a person
  has drawn, called `{first 16 of video_id}/p...`; further frames of it are `ADDED` too.
- `DELETED` with `frame`: the thing is not seen in this frame. Without: there is no such thing, so the track
  goes, and its regions in the keyframes.
- `SPLIT` (`frame`): from this frame on it is another thing, the track `split_track_id(track_id, frame)`;
  before it the id stays. A correction that names a frame finds the part which holds the frame by either id;
  others of the same review say by the id which part they mean. Labels of both parts are stale.
- `JOINED` (`after.track_id`): the track is a part of that one, in the same shot. Where both have a box, that
  of `after.track_id` stays, unless the frame is a keyframe of the other alone; in a keyframe of both, the
  other region goes. Labels in which the two differ are stale.
- `WITHDRAWN`: nothing that the review said of the video (`image_id`) counts any more.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.labels import MOST_COUNT, LabelKind
from schemas.problems import first_problem
from schemas.regions import MOST_FLOAT32, Box, MaskRle, make_region_id


class CorrectionAction(StrEnum):
    """What a person did.

    `VERDICT`: called a label right or wrong, without changing it. `MOVED`, `ADDED`, `DELETED`: changed a
    region's box, or its mask (`mask_rle`) with the box around it. `RENAMED`: changed the class of a
    region (`before.text`, `after.text`). `RECAPTIONED`: changed the text of a region's label of `kind`
    (`ocr` too), or of the whole image if `region_id` is null. `REGROUNDED`: changed which regions the
    phrase `subject` names. `RECOUNTED`: changed how many `subject` there are. `ANSWERED`: changed the
    answer to the question `subject`. `SPLIT`, `JOINED`: cut a track in two, or made one of two.
    `WITHDRAWN`: nothing that the review said of the image counts any more, because its annotations were
    deleted or skipped.
    """

    VERDICT = "verdict"
    MOVED = "moved"
    ADDED = "added"
    DELETED = "deleted"
    RENAMED = "renamed"
    RECAPTIONED = "recaptioned"
    REGROUNDED = "regrounded"
    RECOUNTED = "recounted"
    ANSWERED = "answered"
    SPLIT = "split"
    JOINED = "joined"
    WITHDRAWN = "withdrawn"


class Lane(StrEnum):
    """Why a person saw the image: routed to review, or drawn for the blind audit of accepted labels."""

    REVIEW = "review"
    AUDIT = "audit"


class CorrectionValue(BaseModel):
    """The old or the new value of a change: only what the action is about is set. A mask comes with a box."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box_xyxy: Box | None = None
    text: str | None = None
    region_ids: list[str] | None = None
    count: int | None = Field(default=None, ge=0, le=MOST_COUNT)
    track_id: str | None = None
    mask_rle: MaskRle | None = None

    @field_validator("box_xyxy")
    @classmethod
    def _has_area(cls, box: Box | None) -> Box | None:
        if box is None:
            return None
        if not (all(map(isfinite, box)) and box[2] > box[0] and box[3] > box[1]):
            raise ValueError(f"box {list(box)} has no area")
        if max(map(abs, box)) > MOST_FLOAT32:
            raise ValueError(f"box {list(box)} is larger than any image")
        return box


# The part of a large image (pixels) or of a long video (frames) in a key that `annotation_key` writes.
_PART = re.compile(r"@\d+-\d+(-\d+-\d+)?$")

_NEEDS_AFTER: dict[CorrectionAction, str] = {
    CorrectionAction.MOVED: "box_xyxy",
    CorrectionAction.ADDED: "box_xyxy",
    CorrectionAction.RENAMED: "text",
    CorrectionAction.RECAPTIONED: "text",
    CorrectionAction.REGROUNDED: "region_ids",
    CorrectionAction.RECOUNTED: "count",
    CorrectionAction.ANSWERED: "text",
    CorrectionAction.JOINED: "track_id",
}
_NEEDS_REGION = (CorrectionAction.MOVED, CorrectionAction.DELETED, CorrectionAction.RENAMED)
_NEEDS_SUBJECT = (CorrectionAction.REGROUNDED, CorrectionAction.RECOUNTED, CorrectionAction.ANSWERED)
_NEEDS_KIND = (CorrectionAction.VERDICT, CorrectionAction.RECAPTIONED)
_KIND_OF_ACTION = {
    CorrectionAction.REGROUNDED: LabelKind.GROUND,
    CorrectionAction.RECOUNTED: LabelKind.COUNT,
    CorrectionAction.ANSWERED: LabelKind.ASK,
}
_NEEDS_FRAME = (CorrectionAction.MOVED, CorrectionAction.ADDED, CorrectionAction.SPLIT)
_OF_TRACKS_ONLY = (CorrectionAction.SPLIT, CorrectionAction.JOINED)
# Members that were added to corrections later: the id of a correction without them stays the same.
_ADDED_MEMBERS = ("track_id", "frame", "time_s", "mask_rle")
# What comes first within a submission, so that what is said of a new box or part finds it.
_RANKS = {
    CorrectionAction.SPLIT: 0,
    CorrectionAction.JOINED: 1,
    CorrectionAction.ADDED: 2,
    CorrectionAction.MOVED: 3,
}
# A verdict on these kinds needs the phrase or question as its subject. A verdict on `grounded_caption`
# without a subject is about the image's caption.
_KINDS_WITH_SUBJECT = (
    LabelKind.GROUND,
    LabelKind.DETECT,
    LabelKind.COUNT,
    LabelKind.ASK,
    LabelKind.VISUAL_EXAMPLE,
)


class Correction(BaseModel):
    """One change by one person.

    `image_id`: the image's id; of a correction of a track, its video's.
    `region_id`: the region's id in the reviewed dataset. Null for an added region, unless its box equals that
    of another region: then its new, numbered id. The new id of a moved region follows from `after.box_xyxy`;
    other corrections of the same review may name the region by its old or its new id (`new_region_id`), but
    only by its old id if another region has the new box too.
    `track_id`, `frame`: see the module; `time_s`: the frame's time in the video, where it is known. With both
    `region_id` and `track_id` a correction says of a region what was said of its track; files hold none.
    `kind`: the kind of the label; null if the change is about the box (`MOVED`, `ADDED`, `DELETED`,
    `RENAMED`).
    `subject`: the phrase of a grounding or count, the question of an answer.
    `right`: the verdict; only `VERDICT` sets it, since a changed label was wrong.
    `seconds`: how long the person took for the whole annotation. `at`: when it was submitted, in UTC, ISO
    8601. `annotation_key`: the annotation's key, the same each time it is pulled. All corrections of one
    submission have the same `at`; if an annotation was submitted again, only the last submission counts.
    `ground_truth`: the annotation is marked as ground truth and overrides all others.
    `as_of`: when the review last decided which annotation of the image counts, by the service's clock (UTC,
    ISO 8601); null in files that people write. Of what one review said of an image, only the latest counts.
    """

    model_config = ConfigDict(extra="forbid")

    image_id: str
    action: CorrectionAction
    region_id: str | None = None
    track_id: str | None = None
    frame: int | None = Field(default=None, ge=0)
    time_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    kind: LabelKind | None = None
    subject: str | None = None
    right: bool | None = None
    before: CorrectionValue | None = None
    after: CorrectionValue | None = None
    annotator: str | None = None
    seconds: float | None = Field(default=None, ge=0)
    at: str
    lane: Lane = Lane.REVIEW
    annotation_key: str = ""
    ground_truth: bool = False
    as_of: str | None = None

    @field_validator("at", "as_of")
    @classmethod
    def _in_utc(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an ISO 8601 time") from None
        # Equal times must be equal texts: corrections are ordered by this text.
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        return when.isoformat(timespec="microseconds").replace("+00:00", "Z")

    @model_validator(mode="after")
    def _is_whole(self) -> "Correction":
        needed = _NEEDS_AFTER.get(self.action)
        if needed is not None and getattr(self.after, needed, None) is None:
            raise ValueError(f"{self.action} needs after.{needed}")
        if self.action in _NEEDS_REGION and self.region_id is None and self.track_id is None:
            raise ValueError(f"{self.action} needs region_id")
        if self.action in _OF_TRACKS_ONLY and self.track_id is None:
            raise ValueError(f"{self.action} needs track_id")
        if self.is_of_track and self.action in _NEEDS_FRAME and self.frame is None:
            raise ValueError(f"{self.action} of a track needs frame")
        if self.track_id is None and self.frame is not None:
            raise ValueError("frame needs track_id")
        if self.action in _NEEDS_SUBJECT and self.subject is None:
            raise ValueError(f"{self.action} needs subject")
        if self.action in _NEEDS_KIND and self.kind is None:
            raise ValueError(f"{self.action} needs kind")
        if (self.action is CorrectionAction.VERDICT) != (self.right is not None):
            raise ValueError("right (true or false) is needed for verdict, and allowed only there")
        if self.action in _KIND_OF_ACTION and self.kind is None:
            self.kind = _KIND_OF_ACTION[self.action]
        if (
            self.action is CorrectionAction.VERDICT
            and self.kind in _KINDS_WITH_SUBJECT
            and self.subject is None
        ):
            raise ValueError(f"verdict on {self.kind} needs subject")
        return self

    @property
    def is_of_track(self) -> bool:
        """Whether it is about a track of a video, and not about an image."""
        return self.track_id is not None and self.region_id is None

    @property
    def new_region_id(self) -> str | None:
        """The id of the region after the change; an added or moved region gets the id of its new box."""
        if self.action is CorrectionAction.ADDED and self.region_id is not None:
            return self.region_id
        if self.action in (CorrectionAction.ADDED, CorrectionAction.MOVED):
            assert self.after is not None
            assert self.after.box_xyxy is not None
            return make_region_id(self.image_id, self.after.box_xyxy)
        return self.region_id

    @property
    def review(self) -> str:
        """The key of the review that the annotation belongs to; empty if it is of none."""
        return _PART.sub("", self.annotation_key.rpartition("/")[0])

    @property
    def statement(self) -> tuple[str, str]:
        """What the review speaks of: its key, with the part of a large image, and the image's id."""
        return self.annotation_key.rpartition("/")[0], self.image_id

    @property
    def correction_id(self) -> str:
        """The id of the correction: 32 hex digits, the same for the same content, whatever its `as_of`."""
        document = self.model_dump(mode="json", exclude={"as_of"})
        for part in (document, document["before"] or {}, document["after"] or {}):
            for name in _ADDED_MEMBERS:
                if name in part and part[name] is None:
                    del part[name]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def order(self) -> tuple[bool, bool, str, str, int, str]:
        """The key by which corrections of the same target are sorted: the last one counts.

        It does not depend on when they were merged. Within a submission boxes come first, so that
        corrections about a new box find it. What is said of a region itself counts before what is said of its
        track; of boxes, whatever was said last.
        """
        rank = _RANKS.get(self.action, len(_RANKS))
        of_track = self.track_id is not None and self.region_id is not None and not self._is_of_box
        return (not of_track, self.ground_truth, self.at, self.annotation_key, rank, self.correction_id)

    @property
    def _is_of_box(self) -> bool:
        return self.action in (CorrectionAction.MOVED, CorrectionAction.ADDED, CorrectionAction.DELETED)


def annotation_key(review_key: str, part: str, number: int) -> str:
    """Return the key of an annotation of a review. `part`: the part of a large image; empty: whole images.

    Of a long video, the part is `FIRST-LAST` of its frames. Each part is a statement of its own: what is said
    of one part leaves the others as they are.
    """
    return f"{review_key}@{part}/{number}" if part else f"{review_key}/{number}"


def split_track_id(track_id: str, frame: int) -> str:
    """The id of the part of a track that begins at `frame`; the same whichever part of the track is cut."""
    return f"{track_id.partition('@')[0]}@{frame}"


def correction_line(correction: Correction) -> str:
    """Return the line of a correction in a file, without the line end."""
    return correction.model_dump_json(exclude_none=True)


def parse_corrections(lines: Iterable[str]) -> Iterator[Correction]:
    """Yield the corrections of a file's lines; empty lines are skipped. Raises ValueError naming the line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield Correction.model_validate_json(line)
        except ValidationError as error:
            raise ValueError(f"line {number}: {first_problem(error)}") from None
