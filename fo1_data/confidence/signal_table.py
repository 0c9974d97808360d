"""The signals of many labels as arrays: one place a signal, in the order of the labels. Needs numpy only.

Matrices are (labels, signals) float64; NaN means that a label lacks the signal. If a label has two signals of
one name, the last one counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.signal_columns import FEATURE_PREFIX, Matrix
from fo1_data.confidence.signals import FEATURES
from schemas.labels import Signal

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SignalTable:
    """Signals (n,): the label of each (`owners`, which rise), its name's place in `names`, and its value."""

    num_labels: int
    names: list[str]
    owners: Places
    codes: Places
    values: Matrix

    @classmethod
    def of_labels(cls, signals: Sequence[Sequence[Signal]]) -> "SignalTable":
        """The signals of each label."""
        every = list(chain.from_iterable(signals))
        names: dict[str, int] = {}
        codes = np.array([names.setdefault(signal.name, len(names)) for signal in every], np.int64)
        owners = np.repeat(np.arange(len(signals)), [len(of_label) for of_label in signals])
        values = np.array([signal.value for signal in every], np.float64)
        return cls(len(signals), list(names), owners, codes, values)

    @classmethod
    def join(cls, tables: Iterable["SignalTable"]) -> "SignalTable":
        """The labels of several tables, one table after another."""
        every, names, start = list(tables), dict[str, int](), 0
        owners: list[Places] = [np.zeros(0, np.int64)]
        codes: list[Places] = [np.zeros(0, np.int64)]
        for table in every:
            owners.append(table.owners + start)
            numbers = [names.setdefault(name, len(names)) for name in table.names]
            codes.append(np.array(numbers, np.int64)[table.codes])
            start += table.num_labels
        values = np.concatenate([np.zeros(0), *(table.values for table in every)])
        return cls(start, list(names), np.concatenate(owners), np.concatenate(codes), values)

    def take(self, labels: Places) -> "SignalTable":
        """The signals of these labels, none of them twice, in this order."""
        place_of = np.full(self.num_labels, -1)
        place_of[labels] = np.arange(len(labels))
        owners = place_of[self.owners]
        order = np.argsort(owners, kind="stable")
        order = order[np.searchsorted(owners[order], 0) :]
        return SignalTable(len(labels), self.names, owners[order], self.codes[order], self.values[order])

    def matrix(self, names: Sequence[str]) -> Matrix:
        """(labels, names): signals that are about trust, by name."""
        column_of = {name: column for column, name in enumerate(names)}
        columns = self._by_name([column_of.get(name, -1) if _is_trust(name) else -1 for name in self.names])
        matrix = np.full((self.num_labels, len(names)), np.nan)
        named = columns >= 0
        matrix[self.owners[named], columns[named]] = self.values[named]
        return matrix

    def features(self) -> Matrix:
        """(labels, 8) the first coordinates of each label's region feature, by their numbers."""
        numbers = self._by_name([_number_of_feature(name) for name in self.names])
        places = np.flatnonzero(numbers >= 0)
        places = places[np.lexsort((self.values[places], numbers[places], self.owners[places]))]
        owners = self.owners[places]
        ranks = np.arange(len(places)) - np.searchsorted(owners, owners)
        matrix = np.full((self.num_labels, len(FEATURES)), np.nan)
        fits = ranks < len(FEATURES)
        matrix[owners[fits], ranks[fits]] = self.values[places[fits]]
        return matrix

    def trust_names(self) -> list[str]:
        """The names of the signals that are about trust and that a label has, sorted."""
        return sorted(filter(_is_trust, {self.names[code] for code in np.unique(self.codes).tolist()}))

    def by_label(self) -> list[dict[str, float]]:
        """The signals of each label that are about trust."""
        tables: list[dict[str, float]] = [{} for _ in range(self.num_labels)]
        trusted = np.array([_is_trust(name) for name in self.names], np.bool_)
        kept = trusted[self.codes] if self.names else np.zeros(0, np.bool_)
        columns = (self.owners[kept].tolist(), self.codes[kept].tolist(), self.values[kept].tolist())
        for owner, code, value in zip(*columns, strict=True):
            tables[owner][self.names[code]] = value
        return tables

    def of_label(self, label: int) -> Mapping[str, float]:
        """The signals of one label that are about trust."""
        start, end = np.searchsorted(self.owners, (label, label + 1)).tolist()
        pairs = zip(self.codes[start:end].tolist(), self.values[start:end].tolist(), strict=True)
        return {self.names[code]: value for code, value in pairs if _is_trust(self.names[code])}

    def _by_name(self, numbers: list[int]) -> Places:
        """(n,) for each signal the number of its name."""
        return np.array(numbers, np.int64)[self.codes] if numbers else np.zeros(0, np.int64)


def _is_trust(name: str) -> bool:
    return not name.startswith(FEATURE_PREFIX)


def _number_of_feature(name: str) -> int:
    """The number of a coordinate of a region feature; -1 for any other signal."""
    number = name.removeprefix(FEATURE_PREFIX)
    return int(number) if number != name and number.isdigit() else -1
