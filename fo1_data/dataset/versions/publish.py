"""The self-contained training set: every row with its image's bytes in it.

A published dataset is a dataset like any other, and needs no other place to be trained on. Bytes
are those that were labelled, checked by hash; an image that is no longer to be had is refused
rather than left out. `accepted` keeps what was accepted (also what was drawn for audit) and what a
person said; of the image's caption what people wrote or confirmed, what came with the corpus where
none was asked for, and a model's where every phrase grounded in it was accepted. Boxes always stay:
an answer names them by their place in the list.
"""

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.pixels import with_bytes
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.versions.derive import VersionWriter
from schemas.dataset import Manifest
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source, strictest
from schemas.regions import TEXT_COLUMNS, Region


def publish(
    address: str, out: str, *, only_accepted: bool = False, limits: InputLimits | None = None
) -> Manifest:
    """Write the training set of the dataset at `address` into `out` and return its manifest.

    Raises DatasetError where an image cannot be had any more or is another one now, and where
    `out` is not empty.
    """
    dataset = open_dataset(address)
    step = {"publish": "accepted" if only_accepted else "all"}
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    published: set[str] = set()
    asked = LabelKind.GROUNDED_CAPTION in (dataset.manifest.config.get("labels") or ())
    rows = (row for row in dataset.rows() if not only_accepted or accepted_part(row) is not None)
    for row, data in with_bytes(rows, limits or InputLimits()):
        kept = accepted_part(row, asked) if only_accepted else row
        if kept is not None:
            published.add(row.image_id)
            writer.add(kept.model_copy(update={"image": EncodedImage(bytes=data, path=row.image.path)}))
    return writer.seal(dataset.manifest.version, history=dataset.history().only(published.__contains__))


def is_accepted(label: Label) -> bool:
    """True where a label was accepted by routing, or said by a person."""
    return label.decision in (Decision.ACCEPT, Decision.AUDIT) or label.source is Source.HUMAN


def accepted_part(row: ImageRow, caption_was_asked: bool = False) -> ImageRow | None:
    """The row with its accepted labels only; None where it has none."""
    regions = [_accepted_region(region) for region in row.regions]
    groundings = [part for part in row.groundings if is_accepted(part.label)]
    kept = row.model_copy(
        update={
            "regions": regions,
            "groundings": groundings,
            "counts": [part for part in row.counts if is_accepted(part.label)],
            "answers": [part for part in row.answers if is_accepted(part.label)],
            "caption": row.caption if _caption_is_accepted(row, caption_was_asked) else None,
        }
    )
    labels = kept.all_labels()
    if not labels and not (kept.caption and row.caption_label):
        return None
    return kept.model_copy(update={"decision": strictest(label.decision for label in labels)})


def _caption_is_accepted(row: ImageRow, was_asked: bool) -> bool:
    if row.caption_label is not None:
        return True
    grounded = [part.label for part in row.groundings if part.kind is LabelKind.GROUNDED_CAPTION]
    return all(map(is_accepted, grounded)) if grounded else not was_asked


def _accepted_region(region: Region) -> Region:
    labels = [label for label in region.labels if is_accepted(label)]
    said = {label.kind for label in labels}
    dropped = {TEXT_COLUMNS[kind]: None for kind in TEXT_COLUMNS if kind not in said}
    decision = strictest(label.decision for label in labels)
    return region.model_copy(update={"labels": labels, "decision": decision, **dropped})
