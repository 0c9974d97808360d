"""Records of older datasets, in which equal boxes of one image share an id: each region gets its own.

Works on the records of a Parquet file, in place; writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.regions import number_equal_ids


def number_equal_regions(record: dict[str, Any]) -> None:
    """Make the region ids of a record unique.

    Parts that name an id several times name the regions in their order; a part that names it once names
    the first, since nothing says which of them is meant. Null regions and parts are left as they are.
    """
    regions = [region for region in record.get("regions") or [] if region is not None]
    region_ids = [region["region_id"] for region in regions]
    if len(set(region_ids)) == len(region_ids):
        return
    ids_by_old_id: dict[str, list[str]] = {}
    for region, region_id in zip(regions, number_equal_ids(region_ids), strict=True):
        ids_by_old_id.setdefault(region["region_id"], []).append(region_id)
        region["region_id"] = region_id
    for column in ("groundings", "counts"):
        for part in record.get(column) or []:
            if part is not None:
                part["region_ids"] = _numbered(part.get("region_ids") or [], ids_by_old_id)


def _numbered(region_ids: Iterable[str], ids_by_old_id: Mapping[str, list[str]]) -> list[str]:
    """The new ids of the regions that a part names; an id mentioned too often stays at its last region."""
    mentions: Counter[str] = Counter()
    numbered = []
    for region_id in region_ids:
        new_ids = ids_by_old_id.get(region_id, [region_id])
        numbered.append(new_ids[min(mentions[region_id], len(new_ids) - 1)])
        mentions[region_id] += 1
    return numbered
