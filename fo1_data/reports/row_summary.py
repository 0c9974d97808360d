"""All rows of a dataset in the figures of its report, and the few rows that the page shows.

Rows are counted by columns, a batch at a time; only with gold is each of them read as a row, because gold is
compared with rows. The rows to show are read at the end.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from fo1_data.dataset.columns_to_rows import columns_to_rows
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.light_rows import light_batches, without_pixels
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.rows_by_place import rows_at
from fo1_data.evaluation.faults import Faults, Mistakes
from fo1_data.reports.statistics import Statistics
from fo1_data.reports.trust import LabelJudge, TrustFigures
from schemas.images import ImageRow

Judge = Callable[[ImageRow], Faults | None]

# What the figures are made of, by the columns' paths in Parquet.
_COLUMNS = ("image_id", "width", "height")
_ENDS = (".kind", ".text", ".confidence", ".decision", ".reasons.list.element", ".source", ".annotator",
         ".box_moved", "regions.list.element.region_id", ".box_xyxy.list.element")  # fmt: skip


@dataclass
class RowSummary:
    """Figures over all rows, and the rows to show: those with most mistakes first, then in the order of the
    dataset, each with its mistakes against gold (None without gold)."""

    statistics: Statistics = field(default_factory=Statistics)
    trust: TrustFigures = field(default_factory=TrustFigures)
    mistakes: Mistakes = field(default_factory=Mistakes)
    shown: list[tuple[ImageRow, Faults | None]] = field(default_factory=list)


def summarise_rows(
    dataset: Dataset, num_shown: int, judge: Judge | None = None, judge_labels: LabelJudge | None = None
) -> RowSummary:
    """Count every row; show the rows with most mistakes, and among equals those with the lowest ids.

    Ids are hashes, so without a judge this is a reproducible random sample. Raises DatasetError.
    """
    summary = RowSummary()
    choice = _Choice(num_shown)
    for batch in _batches(dataset, with_rows=judge is not None or judge_labels is not None):
        labels = LabelColumns(batch)
        summary.statistics.add(batch, labels)
        summary.trust.add(labels)
        rows = columns_to_rows(batch) if judge is not None or judge_labels is not None else []
        if judge_labels is not None:
            for row in rows:
                summary.trust.add_verdicts(judge_labels(row))
        faults = [judge(row) for row in rows] if judge is not None else [None] * batch.num_rows
        for found in filter(None, faults):
            summary.mistakes.add(found)
        choice.add(batch["image_id"].to_pylist(), faults)
    places, faults = choice.places_and_faults()
    summary.shown = list(zip(rows_at(dataset, places), faults, strict=True))
    return summary


def _batches(dataset: Dataset, *, with_rows: bool) -> Iterator[pa.RecordBatch]:
    for file in dataset.data_files():
        yield from light_batches(dataset.store, file.path, without_pixels if with_rows else _is_counted)


def _is_counted(path: str) -> bool:
    in_lists = path.startswith(("regions.", "groundings.", "counts.", "answers."))
    return path in _COLUMNS or (in_lists and path.endswith(_ENDS) and without_pixels(path))


class _Choice:
    """Chooses the rows to show, from the ids and the mistakes of all rows in order."""

    def __init__(self, num: int) -> None:
        self._num = num
        self._num_seen = 0
        # Fewest mistakes negated, id, position, mistakes: the first are shown.
        self._kept: list[tuple[int, int, int, Faults | None]] = []

    def add(self, image_ids: Sequence[str], faults: Sequence[Faults | None]) -> None:
        """Add rows."""
        more = [
            (-len(found or ()), int(image_id[:16] or "0", 16), self._num_seen + place, found)
            for place, (image_id, found) in enumerate(zip(image_ids, faults, strict=True))
        ]
        self._num_seen += len(more)
        self._kept = heapq.nsmallest(self._num, [*self._kept, *more], key=lambda entry: entry[:3])

    def places_and_faults(self) -> tuple[list[int], list[Faults | None]]:
        """The positions of the rows to show among all rows, in the order to show them, and their mistakes."""
        ordered = sorted(self._kept, key=lambda entry: (entry[0], entry[2]))
        return [place for _, _, place, _ in ordered], [found for *_, found in ordered]
