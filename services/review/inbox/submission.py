"""A submitted annotation as its corrections state it: who submitted it, when, and in which lane."""

from dataclasses import dataclass
from typing import Any

from schemas.corrections import Correction, CorrectionAction, Lane


@dataclass(frozen=True)
class Submission:
    """Who submitted, when, and how long it took: the same on all corrections of one annotation."""

    annotation_key: str
    annotator: str
    at: str
    seconds: float | None = None
    lane: Lane = Lane.REVIEW
    ground_truth: bool = False

    def correction(self, image_id: str, action: CorrectionAction, **fields: Any) -> Correction:
        """Return a correction that this submission makes. `fields`: the others of `Correction`."""
        return Correction(
            image_id=image_id,
            action=action,
            annotator=self.annotator,
            seconds=self.seconds,
            at=self.at,
            lane=self.lane,
            annotation_key=self.annotation_key,
            ground_truth=self.ground_truth,
            **fields,
        )
