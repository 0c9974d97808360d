"""About how many frames the videos of a corpus have, and how many questions the model is asked about them.

A seeded sample of the videos is opened; the others are assumed to be alike. Where tracks are given their
number is known; without them it is assumed.
"""

import random
from collections.abc import Sequence

from pydantic import BaseModel

from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.errors import ConfigError, InputReject
from fo1_data.labelling.video_labeller import open_tracked
from fo1_data.plurals import counted
from fo1_data.tracking.keyframes import KEYFRAMES_A_TRACK
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig

_MOST_OPENED = 20
# A thing stays in sight for so long, and so many are in sight at once.
ASSUMED_TRACK_S, ASSUMED_THINGS = 5.0, 8.0


class VideoCost(BaseModel):
    """Of all videos: frames, the frames that a detector looks at, questions to the model about single things,
    and as many as captioning every frame would take. `seconds`: of playing time."""

    videos: int
    frames: int
    seconds: float
    detector_frames: int
    questions: int
    questions_of_every_frame: int

    def __str__(self) -> str:
        return (
            f"{counted(self.videos, 'video')}: about {self.frames:,} frames ({self.seconds / 60:.1f} min), "
            f"{self.detector_frames:,} for the detector, {self.questions:,} questions to the model "
            f"(captioning every frame: {self.questions_of_every_frame:,})"
        )


def cost_of_videos(entries: Sequence[CorpusImage], config: RunConfig) -> VideoCost | None:
    """The cost of the tracked videos among the entries; None if there are none, or none can be opened."""
    videos = [entry for entry in entries if is_tracked(entry)]
    places = sorted(random.Random(config.seed).sample(range(len(videos)), min(len(videos), _MOST_OPENED)))
    opened = [cost for place in places if (cost := _cost_of(videos[place], config)) is not None]
    if not opened:
        return None
    scale = len(videos) / len(opened)
    names = ("frames", "detector_frames", "questions", "questions_of_every_frame")
    sums = {name: round(scale * sum(getattr(cost, name) for cost in opened)) for name in names}
    return VideoCost(videos=len(videos), seconds=scale * sum(cost.seconds for cost in opened), **sums)


def _cost_of(entry: CorpusImage, config: RunConfig) -> VideoCost | None:
    try:
        with open_tracked(entry) as video:
            info = video.info
    except (InputReject, ConfigError):
        return None
    num_kinds = sum(kind.per_region for kind in config.labels)
    if entry.tracks is not None and config.proposals in ("auto", "corpus"):
        looks = sum(min(len(track.frames), KEYFRAMES_A_TRACK) for track in entry.tracks)
        boxes, looked_at = sum(len(track.frames) for track in entry.tracks), 0
    else:
        num_tracks = ASSUMED_THINGS * max(1.0, info.duration_s / ASSUMED_TRACK_S)
        looks, boxes = round(KEYFRAMES_A_TRACK * num_tracks), round(ASSUMED_THINGS * info.num_frames)
        looked_at = -(-info.num_frames // config.track_every)
    return VideoCost(
        videos=1,
        frames=info.num_frames,
        seconds=info.duration_s,
        detector_frames=looked_at,
        questions=looks * num_kinds,
        questions_of_every_frame=boxes * num_kinds,
    )
