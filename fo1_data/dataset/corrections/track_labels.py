"""The labels of a track while corrections are applied: its captions, phrases and answers.

Each function returns the corrected track, or None if the correction's target is not there.
"""

from collections.abc import Sequence
from typing import TypeVar

from fo1_data.dataset.human_labels import confirmed, human_label, made_stale
from schemas.corrections import Correction, CorrectionAction
from schemas.labels import Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS
from schemas.tracks import Track, TrackAnswer, TrackPhrase

# Reasons of a decision, for people to read.
TRACK_SPLIT = "track_split"
TRACK_JOINED = "track_joined"
_OCR_COLUMN = TEXT_COLUMNS[LabelKind.OCR]

Part = TypeVar("Part", TrackPhrase, TrackAnswer)


def recaptioned(track: Track, correction: Correction) -> Track | None:
    """With a person's caption or text; an empty caption is no caption."""
    column = TEXT_COLUMNS.get(correction.kind) if correction.kind is not None else None
    text = correction.after.text if correction.after is not None else None
    if correction.kind is None or column is None or text is None:
        return None
    label = None
    if text or column == _OCR_COLUMN:
        label = human_label(correction.kind, text, correction.annotator, correction.at)
    return _with_label(track, correction.kind, label)


def renamed(track: Track, correction: Correction) -> Track | None:
    """With the class that a person gave it, in place of others."""
    text = correction.after.text if correction.after is not None else None
    if text is None:
        return None
    label = human_label(LabelKind.DETECT, text, correction.annotator, correction.at)
    others = [part for part in track.phrases if part.kind is not LabelKind.DETECT]
    new = TrackPhrase(phrase=text, kind=LabelKind.DETECT, label=label)
    return track.model_copy(update={"phrases": [*others, new]})


def answered(track: Track, correction: Correction) -> Track | None:
    """With a person's answer to a question."""
    text = correction.after.text if correction.after is not None else None
    if text is None or correction.subject is None:
        return None
    label = human_label(LabelKind.ASK, text, correction.annotator, correction.at)
    new = TrackAnswer(question=correction.subject, answer=text, label=label)
    questions = [part.question for part in track.answers]
    answers = list(track.answers)
    if correction.subject in questions:
        answers[questions.index(correction.subject)] = new
    else:
        answers.append(new)
    return track.model_copy(update={"answers": answers})


def judged(track: Track, correction: Correction) -> tuple[Track, str] | None:
    """With a right label confirmed, or a wrong one removed; and the label's text.

    A label with another text by then stays as it is: its target is not there.
    """
    before = correction.before.text if correction.before is not None else None
    if correction.kind in TEXT_COLUMNS:
        label = next((label for label in reversed(track.labels) if _is_answer(label, correction.kind)), None)
        if label is None or before not in (None, label.text):
            return None
        return _with_label(track, label.kind, _verdict(label, correction)), label.text
    if correction.kind is LabelKind.ASK:
        answers = _judged_parts(
            track.answers, [part.question == correction.subject for part in track.answers], correction
        )
        text = next((part.answer for part in track.answers if part.question == correction.subject), None)
        if answers is None or text is None or before not in (None, text):
            return None
        return track.model_copy(update={"answers": answers}), text
    targets = [part.kind is correction.kind and part.phrase == correction.subject for part in track.phrases]
    phrases = _judged_parts(track.phrases, targets, correction)
    if phrases is None:
        return None
    return track.model_copy(update={"phrases": phrases}), correction.subject or ""


def stale(track: Track, reason: str, *, unlike: Track | None = None) -> Track:
    """With all labels stale, also those of people; with `unlike`, only those that it does not share."""
    same = {_said(label) for label in unlike.all_labels()} if unlike is not None else set()

    def made(label: Label) -> Label:
        return label if _said(label) in same else made_stale(label, reason, locked_too=True)

    return track.model_copy(
        update={
            "labels": [made(label) for label in track.labels],
            "phrases": [_relabelled(part, made(part.label)) for part in track.phrases],
            "answers": [_relabelled(part, made(part.label)) for part in track.answers],
        }
    )


def _said(label: Label) -> tuple[LabelKind, str]:
    return label.kind, " ".join(label.text.casefold().split())


def _with_label(track: Track, kind: LabelKind, label: Label | None) -> Track:
    kept = [other for other in track.labels if not _is_answer(other, kind)]
    return track.model_copy(
        update={
            "labels": [*kept, label] if label is not None else kept,
            TEXT_COLUMNS[kind]: label.text if label is not None else None,
        }
    )


def _judged_parts(
    parts: Sequence[Part], is_target: Sequence[bool], correction: Correction
) -> list[Part] | None:
    if not any(is_target):
        return None
    judged_parts = []
    for part, is_meant in zip(parts, is_target, strict=True):
        label = _verdict(part.label, correction) if is_meant else part.label
        if label is not None:
            judged_parts.append(_relabelled(part, label))
    return judged_parts


def _relabelled(part: Part, label: Label) -> Part:
    return part if label is part.label else part.model_copy(update={"label": label})


def _verdict(label: Label, correction: Correction) -> Label | None:
    return confirmed(label, correction.annotator, correction.at) if correction.right else None


def _is_answer(label: Label, kind: LabelKind | None) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS


ASKED = (LabelKind.ASK,)
HANDLERS = {
    CorrectionAction.RECAPTIONED: recaptioned,
    CorrectionAction.RENAMED: renamed,
    CorrectionAction.ANSWERED: answered,
}
