"""Labels images together, and by halves where that fails, until the image that is to blame is found."""

from typing import Protocol

from fo1_data.corpus.rejects import reject_of
from fo1_data.errors import Fo1Error
from fo1_data.labelling.video_labeller import LabelsFrames
from fo1_data.labelling.work_done import WorkTracker
from schemas.corpus import CorpusImage
from schemas.images import ImageRow, Reject, RejectStage


class LabelsImages(LabelsFrames, Protocol):
    """Labels images in one process: `labelling.image_labeller.ImageLabeller`, or a quick one in tests."""

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]: ...

    def read_ahead(self, entries: list[CorpusImage]) -> None: ...


def label_or_halve(
    labeller: LabelsImages, entries: list[CorpusImage], tracker: WorkTracker
) -> tuple[list[ImageRow], list[Reject]]:
    """Label `entries`; if that raises, label halves, until the image that causes it becomes a reject.

    Errors of the run rather than of an image (Fo1Error, a lost device) are raised.
    """
    done_before = tracker.copy()
    try:
        return labeller.label_entries(entries, tracker)
    except Fo1Error:
        raise
    except Exception as error:
        if is_device_lost(error):
            raise
        tracker.done = done_before
        if len(entries) == 1:
            return [], [reject_of(entries[0], RejectStage.LABEL, type(error).__name__, str(error))]
    middle = len(entries) // 2
    left, right = (label_or_halve(labeller, half, tracker) for half in (entries[:middle], entries[middle:]))
    return left[0] + right[0], left[1] + right[1]


def is_device_lost(error: Exception) -> bool:
    """True if the process can no longer use its accelerator: every later image would fail too."""
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
