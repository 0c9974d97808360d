"""Which ids name the same region after boxes were moved and drawn.

The id of a region is made of its box, so a moved region has two ids, and corrections may use either. A
move joins its two ids, whichever correction comes first. Regions of a row and regions that people drew stay
apart: one that is moved onto another gets the next free number of that box's id.
"""

from collections.abc import Iterable, Sequence

from fo1_data.dataset.corrections.latest import latest
from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.regions import Box, is_id_of_box, make_region_id, numbered_id


class RegionNames:
    """The first name of each region of a row under a set of corrections."""

    def __init__(self, row: ImageRow, corrections: Iterable[Correction]) -> None:
        self._image_id = row.image_id
        ordered = in_order(corrections)
        # Regions that exist. An id that only moves mention joins one of them as soon as a move says so.
        self._regions = {*(region.region_id for region in row.regions), *_drawn_ids(ordered)}
        self._leader = {name: name for name in self._regions}
        for correction in ordered:
            if correction.action is CorrectionAction.MOVED:
                self._join(correction.region_id or "", correction.new_region_id or "")

    def name(self, region_id: str | None) -> str | None:
        """The first name of the region that `region_id` names; None if no region ever had that id."""
        if region_id is None or region_id not in self._leader:
            return None
        while self._leader[region_id] != region_id:
            region_id = self._leader[region_id]
        return region_id

    def new_id(self, name: str, region_id: str, box_xyxy: Box) -> str:
        """The id of the region `name` with this box: `region_id` if it fits the box, else a free one."""
        if is_id_of_box(region_id, self._image_id, box_xyxy) and self.name(region_id) == name:
            return region_id
        return self._name_box(name, make_region_id(self._image_id, box_xyxy))

    def _join(self, old_id: str, new_id: str) -> None:
        for region_id in (old_id, new_id):
            self._leader.setdefault(region_id, region_id)
        old, new = self.name(old_id), self.name(new_id)
        assert old is not None
        assert new is not None
        if old in self._regions and new in self._regions:
            self._name_box(old, new_id)
        elif new in self._regions:
            self._leader[old] = new
        else:
            self._leader[new] = old

    def _name_box(self, name: str, base_id: str) -> str:
        """Give a region the id of a box, with the first number that no other region has; returns the id."""
        number = 1
        while self.name(numbered_id(base_id, number)) not in (None, name):
            number += 1
        region_id = numbered_id(base_id, number)
        self._leader.setdefault(region_id, name)
        return region_id


def in_order(corrections: Iterable[Correction]) -> list[Correction]:
    """The corrections that count, in the order in which they apply."""
    counted = (
        correction
        for correction in latest(corrections)
        if correction.action is not CorrectionAction.WITHDRAWN
    )
    return sorted(counted, key=lambda correction: correction.order)


def _drawn_ids(corrections: Sequence[Correction]) -> list[str]:
    drawn = (
        correction.new_region_id for correction in corrections if correction.action is CorrectionAction.ADDED
    )
    return [name for name in drawn if name is not None]
