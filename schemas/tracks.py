"""Videos and the tracks in them: the rows of `videos.parquet` and `tracks.parquet` of a dataset.

A track is one thing, followed through one shot of a video. Frames are numbered from 0 in the order in which
a player shows them; times are in seconds from the first frame. Boxes are in pixels of the frame as shown,
which is turned as the container says. The frames that the model looked at are rows of the dataset as any
image; a region there names its track in `track_id`.
"""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from schemas.images import Provenance
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.parquet import BOX, LABEL, PROVENANCE
from schemas.regions import Box

# A reason: the keyframes of a track do not say the same.
TRACK_DISAGREES = "its keyframes disagree"


class Keyframe(BaseModel):
    """A frame that the model looked at, which is the row `image_id` of the dataset."""

    model_config = ConfigDict(extra="forbid")

    frame: int
    time_s: float
    image_id: str


class Shot(BaseModel):
    """The frames `first_frame` to `last_frame` of a video, both included, between two cuts."""

    model_config = ConfigDict(extra="forbid")

    first_frame: int
    last_frame: int


class VideoRow(BaseModel):
    """A video: its frames, its shots, and the keyframes that are rows of the dataset.

    `video_id`: SHA-256 of its bytes (hex). `fps`: frames divided by duration, also if the rate varies.
    `duration_s`: until the last frame ends. `width`, `height`: of the frame as shown, in pixels.
    `dropped_boxes`: of a detector that belong to no track, because nothing followed them in a second frame.
    """

    model_config = ConfigDict(extra="forbid")

    video_id: str
    uri: str
    uris: list[str]
    corpus: str
    meta: str | None = None
    width: int
    height: int
    num_frames: int
    duration_s: float
    fps: float
    constant_rate: bool
    shots: list[Shot] = []
    keyframes: list[Keyframe] = []
    dropped_boxes: int = 0
    provenance: Provenance = Provenance()


class TrackPhrase(BaseModel):
    """A phrase that names the track, as it was agreed over the keyframes."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    kind: LabelKind
    label: Label


class TrackAnswer(BaseModel):
    """The answer to a free question about the track, as it was agreed over the keyframes."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    label: Label


class Track(BaseModel):
    """One thing, followed through one shot.

    `track_id`: `{first 16 of video_id}/t{shot}-{number}`. `frames`, `times_s`, `boxes_xyxy` and `scores` have
    an item for each frame in which the thing was found, in order; what lies between two of them that are not
    neighbours (`track_every` apart) is a gap. `scores`: 0 to 1, null for boxes that were given.
    `keyframes`: those of the video that show the track. `source_label`: what the source of the boxes calls
    the thing; `source_id`, `source_caption`: the id and the caption that came with a given track. `labels`:
    one for each kind of caption, whose signal `track_agreement` is the share of the keyframes' weight that
    says the same; where they disagree, `TRACK_DISAGREES` is among its reasons. `decision`: the strictest of
    the track's labels.
    """

    model_config = ConfigDict(extra="forbid")

    track_id: str
    video_id: str
    shot: int
    first_frame: int
    last_frame: int
    frames: list[int]
    times_s: list[float]
    boxes_xyxy: list[Box]
    scores: list[float | None]
    gaps: list[Shot] = []
    keyframes: list[Keyframe] = []
    box_source: Source = Source.MODEL
    source_label: str | None = None
    source_id: str | None = None
    source_caption: str | None = None
    brief_caption: str | None = None
    detailed_caption: str | None = None
    text: str | None = None
    labels: list[Label] = []
    phrases: list[TrackPhrase] = []
    answers: list[TrackAnswer] = []
    decision: Decision | None = None

    def all_labels(self) -> list[Label]:
        """The labels of captions, phrases and answers."""
        parts: list[TrackPhrase | TrackAnswer] = [*self.phrases, *self.answers]
        return [*self.labels, *(part.label for part in parts)]


_KEYFRAME = pa.struct([("frame", pa.int32()), ("time_s", pa.float64()), ("image_id", pa.string())])
_SPAN = pa.struct([("first_frame", pa.int32()), ("last_frame", pa.int32())])

VIDEO_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("uri", pa.string()),
        ("uris", pa.list_(pa.string())),
        ("corpus", pa.string()),
        ("meta", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_frames", pa.int32()),
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),
        ("constant_rate", pa.bool_()),
        ("shots", pa.list_(_SPAN)),
        ("keyframes", pa.list_(_KEYFRAME)),
        ("dropped_boxes", pa.int32()),
        ("provenance", PROVENANCE),
    ]
)

TRACK_SCHEMA = pa.schema(
    [
        ("track_id", pa.string()),
        ("video_id", pa.string()),
        ("shot", pa.int32()),
        ("first_frame", pa.int32()),
        ("last_frame", pa.int32()),
        ("frames", pa.list_(pa.int32())),
        ("times_s", pa.list_(pa.float64())),
        ("boxes_xyxy", pa.list_(BOX)),
        ("scores", pa.list_(pa.float32())),
        ("gaps", pa.list_(_SPAN)),
        ("keyframes", pa.list_(_KEYFRAME)),
        ("box_source", pa.string()),
        ("source_label", pa.string()),
        ("source_id", pa.string()),
        ("source_caption", pa.string()),
        ("brief_caption", pa.string()),
        ("detailed_caption", pa.string()),
        ("text", pa.string()),
        ("labels", pa.list_(LABEL)),
        ("phrases", pa.list_(pa.struct([("phrase", pa.string()), ("kind", pa.string()), ("label", LABEL)]))),
        (
            "answers",
            pa.list_(pa.struct([("question", pa.string()), ("answer", pa.string()), ("label", LABEL)])),
        ),
        ("decision", pa.string()),
    ]
)
