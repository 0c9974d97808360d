"""What a source says of each region beyond our fields: `region_meta` in `meta`, a dict for each in order.

It belongs to regions by their places, so whoever changes regions or their order brings it along.
"""

from collections.abc import Sequence
from typing import Any

REGION_META = "region_meta"


def region_metas(meta: dict[str, Any] | None, num_regions: int) -> list[dict[str, Any]] | None:
    """The dicts of so many regions, in their order; None if `meta` has no such list."""
    listed = (meta or {}).get(REGION_META)
    return listed if isinstance(listed, list) and len(listed) == num_regions else None


def with_region_metas(
    meta: dict[str, Any] | None, metas: Sequence[dict[str, Any]] | None
) -> dict[str, Any] | None:
    """`meta` with these dicts in place of its own; without any if they say nothing."""
    others = {name: value for name, value in (meta or {}).items() if name != REGION_META}
    said = {REGION_META: list(metas)} if metas and any(metas) else {}
    return {**others, **said} or None
