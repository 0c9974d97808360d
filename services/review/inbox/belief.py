"""Whether an annotation is believed: what is absent from it is not taken for a statement. Pure functions.

A deletion, an emptied text, a "wrong" or a "right" is believed only of an annotation that began with what
was pushed, in a project whose fields are those that were pushed, that was read completely and that took
somebody's time. Any other is set aside whole, with its reason, until somebody has looked at it and takes it
in. Then it says what it holds; parts of it that cannot be read, and fields that were changed, say nothing.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from schemas.corrections import Correction, CorrectionAction
from schemas.reviews import AsideReason
from services.label_studio.annotated import ParsedAnnotation
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields
from services.label_studio.labelling_config import ANSWERS, CAPTION, COUNTS, TEXT_FIELDS
from services.label_studio.shown import ShownImage, without_fields
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission

_MAX_PARTS = 5


@dataclass(frozen=True)
class Origin:
    """Where an annotation comes from. `from_prediction`: Label Studio says it began with the pushed one.

    `from_copy`: it is a copy of another annotation.
    """

    fields: ProjectFields
    from_prediction: bool = False
    from_copy: bool = False

    def suspecting(self, names: Collection[str]) -> "Origin":
        """Return the origin with more suspect fields."""
        fields = replace(self.fields, suspect=self.fields.suspect.union(names))
        return replace(self, fields=fields)


@dataclass(frozen=True)
class Doubt:
    """Why an annotation is set aside, as a reason and in words."""

    reason: AsideReason
    words: str


def doubt_about(
    shown: ShownImage,
    annotated: ParsedAnnotation,
    corrections: Sequence[Correction],
    submission: Submission,
    origin: Origin,
    changed_fields: Collection[str],
) -> Doubt | None:
    """Return why an annotation is not believed; None if it is."""
    if not _is_begun_with(shown, annotated, origin):
        return Doubt(
            AsideReason.NOT_BEGUN,
            "it was not begun with the prediction, so boxes and texts that it lacks were perhaps never seen "
            "by its annotator: open the task again, begin with the prediction and submit",
        )
    if changed_fields:
        names = ", ".join(sorted(changed_fields))
        return Doubt(
            AsideReason.OTHER_FIELDS,
            f"fields of the project that hold a part of what was pushed were removed or changed ({names}): "
            "put them back in its settings and submit again",
        )
    if annotated.not_read:
        more = len(annotated.not_read) - _MAX_PARTS
        parts = "; ".join(annotated.not_read[:_MAX_PARTS]) + (f"; {more} more" if more > 0 else "")
        return Doubt(AsideReason.PARTLY_READ, f"a part of it cannot be read: {parts}")
    is_attended = bool(submission.seconds) or submission.ground_truth
    if not is_attended and corrections and _is_all_right(corrections):
        return Doubt(
            AsideReason.IN_BULK,
            "it calls everything right and took nobody's time, as annotations that are created from "
            "predictions in bulk do",
        )
    return None


def _is_begun_with(shown: ShownImage, annotated: ParsedAnnotation, origin: Origin) -> bool:
    """Return whether an annotation began with what was shown: a box of it that is still there proves it."""
    if origin.from_prediction or annotated.ids & {region.mark for region in shown.regions}:
        return True
    if shown.regions:
        return False
    pushed = {entry["id"] for entry in result_of(shown)}
    return not origin.from_copy and (not pushed or bool(annotated.ids & pushed))


def _is_all_right(corrections: Sequence[Correction]) -> bool:
    return all(part.action is CorrectionAction.VERDICT and part.right for part in corrections)


def believed_corrections(
    shown: ShownImage, annotated: ParsedAnnotation, submission: Submission, changed_fields: Collection[str]
) -> list[Correction]:
    """Return what an annotation says, where changed fields and parts that cannot be read say nothing."""
    silent = (set(changed_fields) - annotated.fields) | annotated.fields_not_read
    silent_marks = {region.mark for region in shown.regions if region.shape_field in silent}
    absent = silent_marks - annotated.regions.keys()
    # A "wrong" was perhaps meant for a text that is not there to be read.
    unclear = {
        region.mark for region in shown.regions if any(TEXT_FIELDS[kind] in silent for kind in region.texts)
    }
    heard = replace(
        annotated,
        marks_not_read=annotated.marks_not_read | absent,
        caption=None if CAPTION in silent else annotated.caption,
        counts=None if COUNTS in silent else annotated.counts,
        answers={} if ANSWERS in silent else annotated.answers,
        regions={
            mark: replace(region, verdict=None) if mark in unclear else region
            for mark, region in annotated.regions.items()
        },
    )
    return corrections_of(without_fields(shown, silent), heard, submission)


def effects_of(corrections: Sequence[Correction]) -> dict[str, int]:
    """Return the number of corrections by action; verdicts by `right` and `wrong`."""
    verdicts = {True: "right", False: "wrong"}
    names = (part.action.value if part.right is None else verdicts[part.right] for part in corrections)
    return dict(sorted(Counter(names).items()))
