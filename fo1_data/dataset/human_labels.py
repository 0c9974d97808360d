"""What a person said in a row: how such labels are made, and how they are recognised.

A label is locked if a person wrote it (`source` human) or confirmed it (`annotator` set): no later run
and no merge of a model's output changes it. A label is stale if people have changed the boxes that it is
about since it was given: it is to be reviewed, or the model is asked again. A stale label is never accepted.
"""

from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region

# Reasons of a decision, for people to read.
BOX_MOVED = "box_moved"
BOX_DELETED = "box_deleted"
BOX_ADDED = "box_added"
BOXES_CHANGED = (BOX_MOVED, BOX_DELETED, BOX_ADDED)
WRITTEN = "written_by_person"
CONFIRMED = "confirmed_by_person"
ANNOTATED_AT = "at "


def is_locked(label: Label) -> bool:
    """True if a person wrote or confirmed the label."""
    return label.source is Source.HUMAN or label.annotator is not None


def is_stale(label: Label) -> bool:
    """True if a person has changed the boxes that the label is about since it was given."""
    return label.box_moved


def is_vouched_for(label: Label) -> bool:
    """True if a person wrote or confirmed the label, and it is not stale."""
    return is_locked(label) and not is_stale(label)


def is_to_ask_again(label: Label) -> bool:
    """True if the label is stale, and is the model's: what a person said is reviewed, not asked again."""
    return is_stale(label) and not is_locked(label)


def human_label(kind: LabelKind, text: str, annotator: str | None, at: str) -> Label:
    """The label that a person wrote at a time (UTC, ISO 8601): accepted, with no confidence."""
    return Label(
        kind=kind,
        text=text,
        decision=Decision.ACCEPT,
        reasons=[WRITTEN, f"{ANNOTATED_AT}{at}"],
        source=Source.HUMAN,
        annotator=annotator,
        annotated_at=at,
    )


def confirmed(label: Label, annotator: str | None, at: str) -> Label:
    """The label after a person has confirmed it: accepted; its source stays."""
    if label.source is Source.HUMAN and not is_stale(label):
        return label
    update = {
        "decision": Decision.ACCEPT,
        "reasons": [CONFIRMED, f"{ANNOTATED_AT}{at}"],
        "annotator": annotator or "unknown",
        "box_moved": False,
        "annotated_at": at,
    }
    return label.model_copy(update=update)


def made_stale(label: Label, reason: str = BOX_MOVED, *, locked_too: bool = False) -> Label:
    """A label after its boxes were changed: to be reviewed, or asked again.

    `reason`: one of BOXES_CHANGED. A person's label stays as it is, unless `locked_too`.
    """
    if is_stale(label) or label.source is Source.CORPUS or (is_locked(label) and not locked_too):
        return label
    update = {"decision": Decision.REVIEW, "reasons": [*label.reasons, reason], "box_moved": True}
    return label.model_copy(update=update)


def stale_kinds(region: Region, kinds: list[LabelKind]) -> list[LabelKind]:
    """Those of `kinds` that the model is to be asked of the region.

    Of a box that a person drew or moved these are the kinds without an answer and with a stale one.
    """
    if region.box_source is not Source.HUMAN:
        return []
    answered = {
        label.kind
        for label in region.labels
        if label.source is not Source.CORPUS and not is_to_ask_again(label)
    }
    return [kind for kind in kinds if kind.per_region and kind not in answered]
