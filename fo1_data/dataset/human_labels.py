"""What a person said in a row: made so here, and told so again.

The image's caption has no label in the schema: who wrote or confirmed it stands in `meta`.

A label is locked where a person wrote it (`source` human) or confirmed it (`annotator` set): no later
run and no merge of a model's output changes it. A region's label is stale where the box was moved under
it: it waits to be asked again.
"""

import json

from pydantic import ValidationError

from schemas.images import ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region

STALE = "box_moved"
_WRITTEN = "written_by_person"
_CONFIRMED = "confirmed_by_person"
_AT = "at "
# Of a name that no corpus gives its own entries.
_CAPTION = "fo1_caption_label"


def is_locked(label: Label) -> bool:
    """True where a person wrote or confirmed the label."""
    return label.source is Source.HUMAN or label.annotator is not None


def is_stale(label: Label) -> bool:
    """True where the label was given to a box that a person has moved since."""
    return STALE in label.reasons and not is_locked(label)


def human_label(kind: LabelKind, text: str, annotator: str | None, at: str) -> Label:
    """The label that a person wrote at a time: accepted, with no confidence to calibrate."""
    return Label(
        kind=kind,
        text=text,
        decision=Decision.ACCEPT,
        reasons=[_WRITTEN, f"{_AT}{at}"],
        source=Source.HUMAN,
        annotator=annotator,
    )


def confirmed(label: Label, annotator: str | None, at: str) -> Label:
    """The label as a person has found it right: accepted; who said it first stays."""
    if label.source is Source.HUMAN:
        return label
    update = {
        "decision": Decision.ACCEPT,
        "reasons": [_CONFIRMED, f"{_AT}{at}"],
        "annotator": annotator or "unknown",
    }
    return label.model_copy(update=update)


def made_stale(label: Label) -> Label:
    """A model's label whose box was moved: to be reviewed, or asked again. A person's stays."""
    if is_locked(label) or label.source is Source.CORPUS or is_stale(label):
        return label
    return label.model_copy(update={"decision": Decision.REVIEW, "reasons": [*label.reasons, STALE]})


def stale_kinds(region: Region, kinds: list[LabelKind]) -> list[LabelKind]:
    """The kinds of `kinds` that the region waits for: asked of a box a person drew and not (or stale)."""
    if region.box_source is not Source.HUMAN:
        return []
    answered = {
        label.kind for label in region.labels if label.source is not Source.CORPUS and not is_stale(label)
    }
    return [kind for kind in kinds if kind.per_region and kind not in answered]


def caption_label(row: ImageRow) -> Label | None:
    """What a person has said of the image's caption; None where nobody has."""
    try:
        return Label.model_validate(_entries(row.meta)[_CAPTION])
    except (KeyError, ValidationError):
        return None


def with_caption_label(meta: str | None, label: Label | None) -> str | None:
    """A row's `meta` that says so of the image's caption, or (None) nothing."""
    entries = _entries(meta)
    known = entries.pop(_CAPTION, None)
    if label is not None:
        entries[_CAPTION] = label.model_dump(mode="json", exclude={"confidence", "signals"})
    elif known is None:
        return meta
    return json.dumps(entries, ensure_ascii=False, sort_keys=True) if entries else None


def _entries(meta: str | None) -> dict[str, object]:
    try:
        found = json.loads(meta) if meta else {}
    except ValueError:
        found = meta
    return found if isinstance(found, dict) else {"source": found}
