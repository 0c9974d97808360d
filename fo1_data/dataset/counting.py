"""What rows add up to: the counts of a manifest."""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.corpus.frames import FRAME_GUESS
from fo1_data.corpus.further_pages import FURTHER_PAGES
from fo1_data.dataset.arrow_columns import to_scalar
from fo1_data.dataset.items import Items, labels_of
from fo1_data.dataset.version_1 import is_version_1, split_meta
from schemas.dataset import Counts, Manifest
from schemas.images import ImageRow
from schemas.labels import OPINION_REFUSED, Decision, LabelKind, Source

UNREVIEWED_MEANS = (
    "no calibration stands behind these labels and no person was asked, so they are not accepted: "
    "calibrate and route again, or review them"
)
CAPTION_KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION)
_CORPUS = to_scalar(Source.CORPUS.value, pa.string())


def count_row(row: ImageRow) -> Counts:
    """The counts of one row: its parts, and the labels given to it by decision."""
    labels = row.answered_labels()
    decisions = [label.decision for label in labels]
    box_sources = [region.box_source for region in row.regions]
    return Counts(
        images=1,
        regions=len(row.regions),
        captions=sum(label.kind in CAPTION_KINDS for label in labels),
        groundings=len(row.groundings),
        counts=len(row.counts),
        answers=len(row.answers),
        guessed_frames=int(_notes(row.meta, FRAME_GUESS)),
        further_pages=int(_notes(row.meta, FURTHER_PAGES)),
        corpus_boxes=box_sources.count(Source.CORPUS),
        model_boxes=box_sources.count(Source.MODEL),
        human_boxes=box_sources.count(Source.HUMAN),
        refused_opinions=[signal.name for label in labels for signal in label.signals].count(OPINION_REFUSED),
        accepted=decisions.count(Decision.ACCEPT),
        audit=decisions.count(Decision.AUDIT),
        unreviewed=decisions.count(Decision.UNREVIEWED),
        review=decisions.count(Decision.REVIEW),
    )


def count_batch(batch: pa.RecordBatch) -> Counts:
    """The counts of the rows of a batch, which has the columns of its schema version."""
    row = Items.of(batch)
    kinds, decisions = (
        _occurrences(_of_answered(labels, name) for labels in labels_of(row)) for name in ("kind", "decision")
    )
    signals = _occurrences(
        pc.struct_field(pc.list_flatten(_of_answered(labels, "signals")), "name") for labels in labels_of(row)
    )
    box_sources = _occurrences([row["regions"].each["box_source"].values])
    return Counts(
        images=len(row),
        regions=len(row["regions"].each),
        captions=sum(kinds[kind] for kind in CAPTION_KINDS),
        groundings=len(row["groundings"].each),
        counts=len(row["counts"].each),
        answers=len(row["answers"].each),
        guessed_frames=_num_noted(batch, FRAME_GUESS),
        further_pages=_num_noted(batch, FURTHER_PAGES),
        corpus_boxes=box_sources[Source.CORPUS],
        model_boxes=box_sources[Source.MODEL],
        human_boxes=box_sources[Source.HUMAN],
        refused_opinions=signals[OPINION_REFUSED],
        accepted=decisions[Decision.ACCEPT],
        audit=decisions[Decision.AUDIT],
        unreviewed=decisions[Decision.UNREVIEWED],
        review=decisions[Decision.REVIEW],
    )


def _occurrences(columns: Iterable[pa.Array]) -> Counter[str | None]:
    """How often each value occurs."""
    counted = pc.value_counts(pa.chunked_array(list(columns)))
    return Counter({entry["values"]: entry["counts"] for entry in counted.to_pylist()})


def _of_answered(labels: Items, name: str) -> pa.Array:
    """A member of those labels that did not come with the corpus."""
    return labels[name].values.filter(pc.not_equal(labels["source"].values, _CORPUS))


def _notes(meta: str | None, key: str) -> bool:
    """Whether a row's `meta` has a key of this project's own."""
    return f'"{key}"' in (meta or "")


def _num_noted(batch: pa.RecordBatch, key: str) -> int:
    metas = batch["meta"].filter(pc.match_substring(batch["meta"], f'"{key}"'))
    if not is_version_1(batch.schema.names):
        return len(metas)
    return sum(_notes(split_meta(meta)[0], key) for meta in metas.to_pylist())


def boxes_from(manifest: Manifest) -> str | None:
    """Where the boxes of a dataset came from, in words; None if nothing states it.

    A version that did not count them states only its proposer.
    """
    counts, proposer = manifest.counts, manifest.proposer
    if not counts.knows_boxes or not counts.regions:
        return proposer
    detector = proposer.removeprefix("auto (").removesuffix(")") if proposer else "a model"
    numbers = {
        "the corpus": counts.corpus_boxes,
        detector if detector != "corpus" else "a model": counts.model_boxes,
        "people": counts.human_boxes,
    }
    sources = {name: number for name, number in numbers.items() if number}
    if len(sources) == 1:
        return next(iter(sources))
    return ", ".join(f"{name} ({number:,})" for name, number in sources.items())


def count_rows(rows: Iterable[ImageRow], rejected: int = 0) -> Counts:
    """The counts of all rows, and `rejected`."""
    return sum((count_row(row) for row in rows), Counts(rejected=rejected))
