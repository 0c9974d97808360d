"""The regions of a row while corrections are applied: boxes and the texts of single regions.

Each method applies one correction and says whether it found what it names. A region goes by its first name,
wherever people move it. Boxes are clipped to the image.
"""

from fo1_data.boxes import as_boxes, clip_boxes, have_area
from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.human_labels import confirmed, human_label, made_stale
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind, Source, strictest
from schemas.regions import TEXT_COLUMNS, Box, Region, make_region_id


class CorrectedRegions:
    """Regions by their first name, in the order of the row."""

    def __init__(self, row: ImageRow, names: RegionNames) -> None:
        self._row, self._names = row, names
        self._regions: dict[str, Region] = {}
        for region in row.regions:
            # Two boxes that a person moved onto one another are one region: the first.
            self._regions.setdefault(names.name(region.region_id) or region.region_id, region)

    def __contains__(self, name: str | None) -> bool:
        return name in self._regions

    def move(self, one: Correction) -> bool:
        """Give a region another box; what was said of it without a person must be looked at again."""
        name = self._names.name(one.region_id)
        box = self._inside(one)
        if name is None or name not in self._regions or box is None:
            return False
        region = self._regions[name]
        if _same_box(region.box_xyxy, box) and region.box_source is Source.HUMAN:
            return True
        labels = [made_stale(label) for label in region.labels]
        update = {"box_xyxy": box, "box_source": Source.HUMAN, "objectness": None, "labels": labels}
        self._regions[name] = region.model_copy(update=update)
        return True

    def add(self, one: Correction) -> bool:
        """Put in a region that a person drew."""
        name, box = self._names.name(one.new_region_id), self._inside(one)
        if name is None or box is None:
            return False
        old = self._regions.get(name)
        if old is None:
            region_id = make_region_id(self._row.image_id, box)
            self._regions[name] = Region(region_id=region_id, index=0, box_xyxy=box, box_source=Source.HUMAN)
        else:
            update = {"box_xyxy": box, "box_source": Source.HUMAN, "objectness": None}
            self._regions[name] = old.model_copy(update=update)
        return True

    def delete(self, one: Correction) -> bool:
        """Take a region out."""
        name = self._names.name(one.region_id)
        return name is not None and self._regions.pop(name, None) is not None

    def write(self, one: Correction, text: str) -> bool:
        """Take a person's caption or text of a region."""
        name = self._names.name(one.region_id)
        column = TEXT_COLUMNS.get(one.kind) if one.kind else None
        if name is None or name not in self._regions or column is None or one.kind is None:
            return False
        # A text that was read may be empty (there is none to read); an empty caption says nothing.
        label = human_label(one.kind, text, one.annotator, one.at) if text or column == "text" else None
        self._set_text(name, one.kind, label)
        return True

    def judge(self, one: Correction) -> bool:
        """A right text is confirmed, a wrong one goes; one that was another by then is left alone."""
        name = self._names.name(one.region_id)
        region = self._regions.get(name) if name is not None else None
        if region is None or name is None or one.kind is None:
            return False
        label = next((label for label in reversed(region.labels) if _is_answer(label, one.kind)), None)
        said = one.before.text if one.before else None
        if label is None or (said is not None and label.text != said):
            return False
        self._set_text(name, one.kind, confirmed(label, one.annotator, one.at) if one.right else None)
        return True

    def finish(self) -> tuple[list[Region], dict[str, str]]:
        """The regions, indices, ids and decisions anew; and their ids by first name."""
        ids: dict[str, str] = {}
        regions: list[Region] = []
        for name, region in self._regions.items():
            region_id = make_region_id(self._row.image_id, region.box_xyxy)
            if region_id not in ids.values():
                decision = strictest(label.decision for label in region.labels)
                update = {"region_id": region_id, "index": len(regions), "decision": decision}
                regions.append(region.model_copy(update=update))
            ids[name] = region_id
        return regions, ids

    def _inside(self, one: Correction) -> Box | None:
        """The new box as it is stored: clipped, float32; None where nothing of it is in the image."""
        if one.after is None or one.after.box_xyxy is None:
            return None
        box = clip_boxes(as_boxes([one.after.box_xyxy]), (self._row.width, self._row.height))
        if not have_area(box)[0]:
            return None
        x_min, y_min, x_max, y_max = box[0].tolist()
        return x_min, y_min, x_max, y_max

    def _set_text(self, name: str, kind: LabelKind, label: Label | None) -> None:
        region = self._regions[name]
        kept = [one for one in region.labels if not _is_answer(one, kind)]
        update: dict[str, object] = {
            "labels": [*kept, label] if label is not None else kept,
            TEXT_COLUMNS[kind]: label.text if label is not None else None,
        }
        self._regions[name] = region.model_copy(update=update)


def _is_answer(label: Label, kind: LabelKind) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS


def _same_box(one: Box, other: Box) -> bool:
    return bool((as_boxes([one]) == as_boxes([other])).all())
