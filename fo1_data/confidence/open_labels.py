"""The labels that routing scores and decides, as columns: those that no person wrote or confirmed.

Made from rows or from a batch of Arrow columns; either way the labels are those of `label_parts`, in its
order. A missing confidence is NaN, a decision its place in `DECISIONS`, the least strict first, -1 for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.confidence.signal_columns import Matrix
from fo1_data.confidence.signal_table import SignalTable
from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_scalar
from fo1_data.dataset.columns_to_rows import columns_to_structs
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.items import Items, labels_of
from fo1_data.dataset.label_columns import LabelColumns, Mask, Places
from fo1_data.dataset.label_names import LabelNames
from fo1_data.dataset.label_parts import LabelPart, label_parts
from schemas.images import Grounding, ImageRow, Provenance
from schemas.labels import Decision, LabelKind, Source

KINDS = tuple(LabelKind)
DECISIONS = tuple(Decision)


@dataclass
class OpenLabels:
    """Columns (labels,); `image_ids` and `provenances` are (rows,).

    `rows`: the position of the label's row; `kinds`: its place in `KINDS`; `is_absent`: the label says that
    its phrase names no region. Only `confidence` is ever changed.
    """

    image_ids: list[str]
    provenances: list[Provenance]
    rows: Places
    keys: list[str]
    subjects: list[str]
    texts: list[str]
    kinds: Places
    confidence: Matrix
    decisions: Places
    is_stale: Mask
    is_absent: Mask
    signals: SignalTable

    def __len__(self) -> int:
        return len(self.rows)


def open_parts(rows: Sequence[ImageRow]) -> list[tuple[int, LabelPart]]:
    """The open labels of rows, each with the position of its row."""
    parts = ((number, part) for number, row in enumerate(rows) for part in label_parts(row))
    return [(number, part) for number, part in parts if not is_locked(part.label)]


def labels_of_rows(rows: Sequence[ImageRow], parts: Sequence[tuple[int, LabelPart]]) -> OpenLabels:
    """The columns of the labels `parts`, as of `open_parts`."""
    labels = [part.label for _, part in parts]
    return OpenLabels(
        image_ids=[row.image_id for row in rows],
        provenances=[row.provenance for row in rows],
        rows=np.array([number for number, _ in parts], np.int64),
        keys=[part.key for _, part in parts],
        subjects=[part.subject for _, part in parts],
        texts=[label.text for label in labels],
        kinds=np.array([KINDS.index(label.kind) for label in labels], np.int64),
        confidence=np.array([_or_nan(label.confidence) for label in labels], np.float64),
        decisions=np.array([place_of_decision(label.decision) for label in labels], np.int64),
        is_stale=np.array([is_stale(label) for label in labels], bool),
        is_absent=np.array([_is_absent(part) for _, part in parts], bool),
        signals=SignalTable.of_labels([label.signals for label in labels]),
    )


def place_of_decision(decision: Decision | None) -> int:
    """The place in `DECISIONS`; -1 for None."""
    return -1 if decision is None else DECISIONS.index(decision)


def open_places(columns: LabelColumns) -> Places:
    """The places of the open labels among all labels of a batch, in the order of `label_parts`."""
    is_open = ~columns.is_from(Source.CORPUS) & ~columns.is_locked
    order: Places = np.argsort(columns.rows, kind="stable")
    return order[is_open[order]]


def labels_of_batch(batch: pa.RecordBatch, columns: LabelColumns, places: Places) -> OpenLabels:
    """The labels at `places` among `columns`, which are all labels of the batch."""
    names, wanted = LabelNames(batch), numpy_to_array(places)
    return OpenLabels(
        image_ids=batch["image_id"].to_pylist(),
        provenances=columns_to_structs(batch["provenance"], Provenance),
        rows=columns.rows[places],
        keys=names.keys().take(wanted).to_pylist(),
        subjects=names.subjects().take(wanted).to_pylist(),
        texts=columns.column("text").take(wanted).to_pylist(),
        kinds=columns.places_of("kind", KINDS)[places],
        confidence=columns.confidence[places],
        decisions=columns.places_of("decision", DECISIONS)[places],
        is_stale=columns.is_stale[places],
        is_absent=_absent(batch)[places],
        signals=signals_of_batch(batch).take(places),
    )


def signals_of_batch(batch: pa.RecordBatch) -> SignalTable:
    """The signals of all labels of a batch, in the order of `LabelColumns` with those of the corpus."""
    return SignalTable.join(map(_signals, labels_of(Items.of(batch))))


def _signals(labels: Items) -> SignalTable:
    signals = labels["signals"]
    names = pc.dictionary_encode(signals.each["name"].values)
    return SignalTable(
        len(labels),
        names.dictionary.to_pylist(),
        signals.owners.astype(np.int64),
        array_to_numpy(names.indices).astype(np.int64),
        signals.each["value"].numpy().astype(np.float64),
    )


def _absent(batch: pa.RecordBatch) -> Mask:
    """Which of all labels of a batch are of a grounding that names no region."""
    regions, _, *others = labels_of(Items.of(batch))
    named = Items.of(batch)["groundings"].each["region_ids"].values
    is_absent = array_to_numpy(pc.equal(pc.list_value_length(named), to_scalar(0, pa.int32())))
    num_others = sum(map(len, others))
    return np.concatenate([np.zeros(len(regions), bool), is_absent, np.zeros(num_others, bool)])


def _is_absent(part: LabelPart) -> bool:
    return isinstance(part.part, Grounding) and not part.part.region_ids


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
