"""The self-contained training set: every row with the bytes of its image.

A published dataset is a dataset like any other; training on it needs no other storage. The bytes are
those that were labelled, checked by hash; an image that cannot be read any more is an error, it is not
left out. `accepted` keeps accepted labels (also those drawn for the audit) and labels of people. An
image's caption is kept if a person wrote or confirmed it, if it came with the corpus and no model was
asked for one, or if every phrase grounded in a model's caption was accepted. Boxes always stay, because
answers name them by their place in the list.
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

    Raises DatasetError if an image cannot be read or has changed, and if `out` is not empty.
    """
    dataset = open_dataset(address)
    step = {"publish": "accepted" if only_accepted else "all"}
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    published: set[str] = set()
    model_captions = LabelKind.GROUNDED_CAPTION in (dataset.manifest.config.get("labels") or ())
    rows = (row for row in dataset.rows() if not only_accepted or accepted_part(row) is not None)
    for row, data in with_bytes(rows, limits or InputLimits()):
        kept = accepted_part(row, model_captions) if only_accepted else row
        if kept is not None:
            published.add(row.image_id)
            writer.add(kept.model_copy(update={"image": EncodedImage(bytes=data, path=row.image.path)}))
    return writer.seal(dataset.manifest.version, history=dataset.history().only(published.__contains__))


def is_accepted(label: Label) -> bool:
    """True if routing accepted the label or a person wrote it."""
    return label.decision in (Decision.ACCEPT, Decision.AUDIT) or label.source is Source.HUMAN


def accepted_part(row: ImageRow, model_captions: bool = False) -> ImageRow | None:
    """The row with its accepted labels only; None if it has none."""
    regions = [_accepted_region(region) for region in row.regions]
    groundings = [part for part in row.groundings if is_accepted(part.label)]
    kept = row.model_copy(
        update={
            "regions": regions,
            "groundings": groundings,
            "counts": [part for part in row.counts if is_accepted(part.label)],
            "answers": [part for part in row.answers if is_accepted(part.label)],
            "caption": row.caption if _caption_is_accepted(row, model_captions) else None,
        }
    )
    labels = kept.all_labels()
    if not labels and not (kept.caption and row.caption_label):
        return None
    return kept.model_copy(update={"decision": strictest(label.decision for label in labels)})


def _caption_is_accepted(row: ImageRow, model_captions: bool) -> bool:
    if row.caption_label is not None:
        return True
    grounded = [part.label for part in row.groundings if part.kind is LabelKind.GROUNDED_CAPTION]
    return all(map(is_accepted, grounded)) if grounded else not model_captions


def _accepted_region(region: Region) -> Region:
    labels = [label for label in region.labels if is_accepted(label)]
    kinds = {label.kind for label in labels}
    dropped = {TEXT_COLUMNS[kind]: None for kind in TEXT_COLUMNS if kind not in kinds}
    decision = strictest(label.decision for label in labels)
    return region.model_copy(update={"labels": labels, "decision": decision, **dropped})
