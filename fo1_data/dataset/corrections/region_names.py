"""Which ids name the same region, once boxes have been moved and drawn.

A region's id is made of its box, so a moved one has two: corrections may use either. Ids that a move
joins are one region, whichever correction comes first.
"""

from collections.abc import Iterable, Sequence

from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow


class RegionNames:
    """The regions of a row under a set of corrections, each by its first name."""

    def __init__(self, row: ImageRow, corrections: Sequence[Correction]) -> None:
        self._leader: dict[str, str] = {}
        for region_id in _first_names(row, corrections):
            self._leader.setdefault(region_id, region_id)
        for correction in corrections:
            if correction.action is CorrectionAction.MOVED:
                self._join(correction.region_id or "", correction.new_region_id or "")

    def name(self, region_id: str | None) -> str | None:
        """The first name of the region that `region_id` names; None where nothing ever had that id."""
        if region_id is None or region_id not in self._leader:
            return None
        while self._leader[region_id] != region_id:
            region_id = self._leader[region_id]
        return region_id

    def _join(self, one: str, other: str) -> None:
        for region_id in (one, other):
            self._leader.setdefault(region_id, region_id)
        a, b = self.name(one), self.name(other)
        assert a is not None
        assert b is not None
        # The one that came first in the row leads: dictionaries keep the order of insertion.
        order = list(self._leader)
        first, second = sorted((a, b), key=order.index)
        self._leader[second] = first


def _first_names(row: ImageRow, corrections: Iterable[Correction]) -> list[str]:
    drawn = (one.new_region_id for one in corrections if one.action is CorrectionAction.ADDED)
    return [*(region.region_id for region in row.regions), *(name for name in drawn if name is not None)]
