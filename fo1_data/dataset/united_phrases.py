"""Phrases and counts that several tiles of an image were asked about, as those of the image."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy
from fo1_data.dataset.counted_regions import SURE_LOGPROB, Naming
from fo1_data.dataset.items import Items
from schemas.labels import Decision

_LEAST_SURE = "logprob_min"
_STRICTNESS = {decision.value: place for place, decision in enumerate(Decision)}


class UnitedPhrases:
    """Groundings or counts of all tiles, those of one kind and phrase as one.

    num_regions: of each row. named: the ids in the image of regions that a tile named. is_united: which of
    the parts become one; all by default.
    """

    def __init__(
        self,
        parts: Items,
        num_regions: npt.NDArray[np.int64],
        named: Callable[[Sequence[str]], list[str]],
        is_united: Sequence[bool] | None = None,
    ) -> None:
        self._parts, self._num_regions, self._named = parts, num_regions, named
        flags = np.ones(len(parts), np.bool_) if is_united is None else np.array(is_united, np.bool_)
        self._places, self._others = np.flatnonzero(flags), np.flatnonzero(~flags)

    def others(self) -> list[dict[str, Any]]:
        """Those that stay apart, as records."""
        records: list[dict[str, Any]] = self._parts.at(self._others).to_pylist()
        return records

    @cached_property
    def _region_ids(self) -> dict[int, list[str]]:
        """The regions that each part names, by its place; parts that name none are left out."""
        named: dict[int, list[str]] = defaultdict(list)
        ids = self._parts["region_ids"]
        for place, region_id in zip(ids.owners.tolist(), ids.each.values.to_pylist(), strict=True):
            named[place].append(region_id)
        return named

    def namings(self) -> Iterator[Naming]:
        """The answers that name regions, by the ids in their tiles."""
        phrases = self._parts["phrase"].values.to_pylist()
        least = self._least_sure()
        for place, region_ids in self._region_ids.items():
            yield Naming(phrases[place], region_ids, bool(least[place] >= SURE_LOGPROB))

    def records(self) -> list[dict[str, Any]]:
        """A record for each kind and phrase, with the regions of all tiles and the most doubtful label."""
        kinds = self._parts["label"]["kind"].values.to_pylist()
        phrases = self._parts["phrase"].values.to_pylist()
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place in self._places.tolist():
            groups[kinds[place], phrases[place]].append(place)
        doubts = self._doubts()
        records = []
        for places in groups.values():
            chosen = min(places, key=lambda place: doubts[place])
            record = self._parts.values[chosen].as_py()
            all_named = [one for place in places for one in self._region_ids.get(place, ())]
            record["region_ids"] = self._named(all_named)
            records.append(record)
        return records

    def _doubts(self) -> list[tuple[bool, int, float, float]]:
        """What orders labels, the most doubtful first: those of tiles with regions, then the stricter
        decision, the lower confidence, and the less sure token."""
        labels = self._parts["label"]
        has_none = self._num_regions[self._parts.rows] == 0
        decisions = [-_STRICTNESS.get(value, -1) for value in labels["decision"].values.to_pylist()]
        confidences = [2.0 if value is None else value for value in labels["confidence"].values.to_pylist()]
        return list(zip(has_none.tolist(), decisions, confidences, self._least_sure().tolist(), strict=True))

    def _least_sure(self) -> npt.NDArray[np.float64]:
        """The log-probability of the least sure token of each label; 0 where it is not known."""
        signals = self._parts["label"]["signals"]
        least = np.zeros(len(self._parts))
        is_least = array_to_numpy(pc.equal(signals.each["name"].values, _LEAST_SURE))
        values = signals.each["value"].values.to_pylist()
        for owner, place in zip(
            signals.owners[is_least].tolist(), np.flatnonzero(is_least).tolist(), strict=True
        ):
            least[owner] = values[place]
        return least
