"""Which ids name the same region after boxes were moved and drawn.

The id of a region is made of its box, so a moved region has two ids, and corrections may use either. A
move joins its two ids, whichever correction comes first.
"""

from collections.abc import Iterable, Sequence

from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow


class RegionNames:
    """The first name of each region of a row under a set of corrections."""

    def __init__(self, row: ImageRow, corrections: Sequence[Correction]) -> None:
        self._leader: dict[str, str] = {}
        for region_id in _first_names(row, corrections):
            self._leader.setdefault(region_id, region_id)
        for correction in corrections:
            if correction.action is CorrectionAction.MOVED:
                self._join(correction.region_id or "", correction.new_region_id or "")

    def name(self, region_id: str | None) -> str | None:
        """The first name of the region that `region_id` names; None if no region ever had that id."""
        if region_id is None or region_id not in self._leader:
            return None
        while self._leader[region_id] != region_id:
            region_id = self._leader[region_id]
        return region_id

    def _join(self, region_id: str, other_id: str) -> None:
        for name in (region_id, other_id):
            self._leader.setdefault(name, name)
        a, b = self.name(region_id), self.name(other_id)
        assert a is not None
        assert b is not None
        # The id that came first in the row leads: dictionaries keep the order of insertion.
        order = list(self._leader)
        first, second = sorted((a, b), key=order.index)
        self._leader[second] = first


def _first_names(row: ImageRow, corrections: Iterable[Correction]) -> list[str]:
    drawn = (
        correction.new_region_id for correction in corrections if correction.action is CorrectionAction.ADDED
    )
    return [*(region.region_id for region in row.regions), *(name for name in drawn if name is not None)]
