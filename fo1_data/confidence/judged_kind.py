"""The judged labels of one kind as arrays, and each label's rank among those of its image."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.signal_columns import signals_of
from fo1_data.dataset.label_parts import LabelPart
from fo1_data.judging.correctness import Judged
from schemas.labels import LabelKind


@dataclass(frozen=True)
class JudgedKind:
    """All labels of one kind in judged images, in an order that does not depend on the order of rows.

    `tables`: the signals of each label by name. `has_verdict`: which labels were judged; `right`: the
    verdict, False without one; `certifies`, `eligible`, `missed`: as in `Judged`. All arrays are (labels,).
    """

    image_ids: list[str]
    tables: list[dict[str, float]]
    has_verdict: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]
    certifies: npt.NDArray[np.bool_]
    eligible: npt.NDArray[np.bool_]
    missed: npt.NDArray[np.bool_]

    def take(self, keep: npt.NDArray[np.bool_]) -> "JudgedKind":
        """The labels at which `keep`, (labels,), is True."""
        indices = np.flatnonzero(keep).tolist()
        return JudgedKind(
            [self.image_ids[index] for index in indices],
            [self.tables[index] for index in indices],
            self.has_verdict[keep],
            self.right[keep],
            self.certifies[keep],
            self.eligible[keep],
            self.missed[keep],
        )

    def image_numbers(self) -> npt.NDArray[np.int64]:
        """(labels,) the number of each label's image, in order of image ids."""
        _, inverse = np.unique(np.array(self.image_ids, dtype=object), return_inverse=True)
        numbers: npt.NDArray[np.int64] = inverse.astype(np.int64)
        return numbers


# The signals of labels that are about trust, by name.
ReadSignals = Callable[[Sequence[LabelPart]], Sequence[dict[str, float]]]


def own_signals(parts: Sequence[LabelPart]) -> list[dict[str, float]]:
    """The signals that stand in the labels."""
    return [signals_of(part.label) for part in parts]


def by_kind(
    judged: Iterable[Judged], *, missed_as_verdict: bool = True, read_signals: ReadSignals = own_signals
) -> dict[LabelKind, JudgedKind]:
    """The labels of each kind that has at least one verdict.

    `missed_as_verdict`: a missed label has the verdict wrong, and so is fitted on; else it only certifies.
    `read_signals`: where signals come from if rows were read without; called once, for all labels.
    """
    groups: dict[LabelKind, list[Judged]] = {}
    for verdict in judged:
        groups.setdefault(verdict.part.kind, []).append(verdict)
    ordered = {
        kind: sorted(groups[kind], key=lambda verdict: verdict.part.key)
        for kind in sorted(groups)
        if any(verdict.right is not None for verdict in groups[kind])
    }
    tables = iter(read_signals([verdict.part for verdicts in ordered.values() for verdict in verdicts]))
    return {
        kind: _as_arrays(verdicts, list(islice(tables, len(verdicts))), missed_as_verdict)
        for kind, verdicts in ordered.items()
    }


def _as_arrays(
    verdicts: Sequence[Judged], tables: list[dict[str, float]], missed_as_verdict: bool
) -> JudgedKind:
    missed = np.array([verdict.missed for verdict in verdicts], dtype=bool)
    judged = np.array([verdict.right is not None for verdict in verdicts], dtype=bool)
    return JudgedKind(
        image_ids=[verdict.part.row.image_id for verdict in verdicts],
        tables=tables,
        has_verdict=judged | missed if missed_as_verdict else judged,
        right=np.array([bool(verdict.evidence) for verdict in verdicts], dtype=bool),
        certifies=np.array([verdict.certifies for verdict in verdicts], dtype=bool),
        eligible=np.array([verdict.eligible for verdict in verdicts], dtype=bool),
        missed=missed,
    )


def places_in_image(
    images: npt.NDArray[np.int64], confidences: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """(labels,) each label's place among those of its image: 0 is the surest, the earlier of equals first.

    `images`: (labels,) image numbers; `confidences`: (labels,).
    """
    order = np.lexsort((np.arange(len(images)), -confidences, images))
    starts = np.searchsorted(images[order], images[order])
    places = np.empty(len(images), dtype=np.int64)
    places[order] = np.arange(len(images)) - starts
    return places
