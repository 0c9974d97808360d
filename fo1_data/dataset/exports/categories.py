"""The classes of each region, for formats in which a box has a class.

In this order: every phrase of a detection that names the region, else the corpus' own label, else
`object`. A region can have several classes; a brief caption is not a class.
"""

from collections.abc import Iterable

from schemas.images import ImageRow
from schemas.labels import LabelKind

CLASS_AGNOSTIC = "object"


def region_classes(row: ImageRow) -> dict[str, list[str]]:
    """The classes of each region of a row, by region id; at least one each."""
    classes: dict[str, list[str]] = {region.region_id: [] for region in row.regions}
    for grounding in row.groundings:
        if grounding.kind is LabelKind.DETECT:
            for region_id in grounding.region_ids:
                if grounding.phrase not in classes.setdefault(region_id, []):
                    classes[region_id].append(grounding.phrase)
    for region in row.regions:
        if not classes[region.region_id]:
            classes[region.region_id] = [region.source_label or CLASS_AGNOSTIC]
    return classes


def class_names(rows: Iterable[ImageRow]) -> list[str]:
    """Every class that occurs, sorted."""
    return sorted({name for row in rows for names in region_classes(row).values() for name in names})
