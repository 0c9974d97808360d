"""A detector that also follows things through the frames of a shot, and needs no tracker for it."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from fo1_data.proposals.detections import Detector
from fo1_data.proposals.detector_boxes import DetectorBoxes
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.sought_words import SoughtWords
from schemas.corpus import CorpusImage


class FollowedShot(Protocol):
    """One shot while its things are followed. `Proposals.track_ids` are numbers of things of this shot."""

    def look(self, image: Image.Image) -> list[Proposals]:
        """Take the next frame, upright RGB; the boxes of the earliest frames that are settled by now."""
        ...

    def finish(self) -> list[Proposals]:
        """The boxes of the other frames, in order. The shot ends."""
        ...


class VideoDetector(Detector, Protocol):
    """A detector that follows what words name through a shot."""

    def follow(self, words: Sequence[str]) -> FollowedShot: ...


class VideoBoxes(DetectorBoxes):
    """Proposals of such a detector in images, and in the frames of a shot. Settings: see `DetectorBoxes`."""

    def __init__(
        self,
        name: str,
        detector: VideoDetector,
        score_floor: float | None,
        nms_iou: float | None,
        max_proposals: int,
        words: SoughtWords | None = None,
    ) -> None:
        super().__init__(name, detector, score_floor, nms_iou, max_proposals, words)
        self._follower = detector

    def follow(self, video: CorpusImage) -> FollowedShot:
        """Begin with a shot. Of the video's entry, only the phrases and counts are looked at."""
        return self._follower.follow(self._words.of(video))
