"""Trackers of the package `trackers`, which tell also what an unconfirmed box belongs to.

These trackers give a number only to boxes of things that they have seen often enough. What they associate
is known earlier: every thing has a state estimator, which is told each box of it. A tracker takes the class
of its estimators, so one that notes what it is told shows the whole association, box by box. Boxes are xyxy
in pixels; no pixels are looked at. A tracker is of one shot.
"""

import inspect
from collections import defaultdict
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Boxes, as_boxes
from fo1_data.tracking.names import check_tracker

NOTHING = -1
# The package's own scores (0.7 and 0.6) are those of a detector of people in streets. A box of less than the
# first begins no track, one of less than the second only continues one.
_BEGINS = {"track_activation_threshold": 0.5}
_SURE = {"high_conf_det_threshold": 0.4}


class Tracker(Protocol):
    """Follows the things of a shot. `confirmed`: the numbers of things that are no accident."""

    @property
    def confirmed(self) -> frozenset[int]: ...

    def update(
        self, boxes_xyxy: Boxes, scores: npt.NDArray[np.float32], time_s: float | None = None
    ) -> npt.NDArray[np.int64]:
        """The number of the thing that each box (N, 4) of the next frame belongs to, from 0; -1: of none.

        scores: (N,), 0 to 1. time_s: where frames are not evenly spaced, the frame's time, which grows.
        """
        ...


def load_tracker(name: str, fps: float) -> Tracker:
    """A tracker for one shot. fps: frames a second that it will be given, which says how long it waits for
    a thing that is out of sight. Raises ConfigError for an unknown name or a package that is missing."""
    check_tracker(name)
    import trackers

    classes: dict[str, tuple[Any, dict[str, Any]]] = {
        "bytetrack": (trackers.ByteTrackTracker, _BEGINS | _SURE),
        "sort": (trackers.SORTTracker, _BEGINS),
        "ocsort": (trackers.OCSORTTracker, _SURE),
        "botsort": (trackers.BoTSORTTracker, _BEGINS | _SURE | {"enable_cmc": False}),
        "cbiou": (trackers.CBIoUTracker, _BEGINS | _SURE),
    }
    tracker_class, settings = classes[name]
    return _NotingTracker(tracker_class, frame_rate=fps, **settings)


class _NotingTracker:
    """A tracker of the package whose estimators note the boxes they are told."""

    def __init__(self, tracker_class: Any, **settings: Any) -> None:
        self._told: list[tuple[Any, bytes]] = []
        default = inspect.signature(tracker_class).parameters["state_estimator_class"].default
        self._tracker = tracker_class(state_estimator_class=_noting(default, self._told), **settings)
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # of what is followed now
        self._num_things = 0
        self._confirmed: set[int] = set()

    @property
    def confirmed(self) -> frozenset[int]:
        return frozenset(self._confirmed)

    def update(
        self, boxes_xyxy: Boxes, scores: npt.NDArray[np.float32], time_s: float | None = None
    ) -> npt.NDArray[np.int64]:
        from supervision import Detections

        boxes = as_boxes(boxes_xyxy)
        self._told.clear()
        self._tracker.update(Detections(xyxy=boxes, confidence=np.asarray(scores, np.float32)), None, time_s)
        places = defaultdict(list)
        for place in reversed(range(len(boxes))):
            places[boxes[place].tobytes()].append(place)
        numbers = np.full(len(boxes), NOTHING, np.int64)
        for estimator, box in self._told:
            if estimator not in self._numbers:
                self._numbers[estimator] = self._num_things
                self._num_things += 1
            if places[box]:
                numbers[places[box].pop()] = self._numbers[estimator]
        for tracklet in self._tracker.tracks:
            if tracklet.tracker_id != NOTHING:
                self._confirmed.add(self._numbers[tracklet.state_estimator])
        return numbers


def _noting(estimator_class: Any, told: list[tuple[Any, bytes]]) -> Any:
    """The class of estimators, which note themselves with the bytes of each box (float32) in `told`."""

    class NotingEstimator(estimator_class):  # type: ignore[misc]
        def __init__(self, bbox: Any) -> None:
            super().__init__(bbox)
            told.append((self, as_boxes([bbox])[0].tobytes()))

        def update(self, bbox: Any) -> None:
            super().update(bbox)
            if bbox is not None:
                told.append((self, as_boxes([bbox])[0].tobytes()))

    return NotingEstimator
