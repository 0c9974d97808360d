"""Why inputs and boxes of a finished run gave no label: counts by reason."""

from collections import Counter
from collections.abc import Mapping

from fo1_data.plurals import counted
from schemas.images import IGNORED, RejectStage

_NUM_NAMED = 5
_NOT_TO_BE_READ = f"{RejectStage.LISTING}: {IGNORED}"


def count_reasons(out: str) -> dict[str, int]:
    """`stage: reason` to the number of rejects of the dataset at `out`, the most frequent first."""
    from fo1_data.dataset.reader import (
        open_dataset,
    )  # imports Arrow, which the help of a command does not use

    reasons = (f"{reject.stage}: {reject.reason}" for reject in open_dataset(out).rejects())
    return dict(Counter(reasons).most_common())


def of_inputs(reasons: Mapping[str, int]) -> dict[str, int]:
    """The reasons of whole inputs, without those of single boxes, whose image has a row."""
    return {
        reason: number for reason, number in reasons.items() if not reason.startswith(f"{RejectStage.BOX}:")
    }


def faults(reasons: Mapping[str, int]) -> dict[str, int]:
    """The reasons that are faults: all but that a corpus itself says that something is not to be read."""
    return {reason: number for reason, number in reasons.items() if reason != _NOT_TO_BE_READ}


def reasons_text(reasons: Mapping[str, int]) -> str:
    """The reasons in one line, the most frequent first."""
    parts = [f"{number} x {reason}" for reason, number in list(reasons.items())[:_NUM_NAMED]]
    more = len(reasons) - len(parts)
    return ", ".join(parts) + (f" and {counted(more, 'other reason')}" if more else "")


def frequent_reason(reasons: Mapping[str, int], num_images: int) -> str | None:
    """A sentence if one reason rejected over half of the inputs. num_images: images that have a row."""
    inputs = num_images + sum(reasons.values())
    if not reasons or max(reasons.values()) * 2 <= inputs:
        return None
    reason = max(reasons, key=lambda name: reasons[name])
    return f"{reasons[reason]} of {counted(inputs, 'input')} were rejected for one reason ({reason})"
