"""The regions of a row while corrections are applied: their boxes and texts.

Each method applies one correction and returns whether its target was there. A region goes by its first
name, wherever people move it. Boxes: absolute pixels of the EXIF-oriented image, clipped to it.
"""

from fo1_data.boxes import as_boxes, clip_boxes, have_area, iou_matrix
from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.human_labels import confirmed, human_label, made_stale
from fo1_data.masks import is_mask_of
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind, Source, strictest
from schemas.regions import TEXT_COLUMNS, Box, MaskRle, Region

# A region that is moved so that the IoU of its boxes is below this is another region.
SAME_REGION_IOU = 0.5


class CorrectedRegions:
    """Regions by their first name, in the order of the row."""

    def __init__(self, row: ImageRow, names: RegionNames) -> None:
        self._row, self._names = row, names
        self._regions: dict[str, Region] = {}
        for region in row.regions:
            self._regions.setdefault(names.name(region.region_id) or region.region_id, region)

    def __contains__(self, name: str | None) -> bool:
        return name in self._regions

    def box(self, name: str | None) -> Box | None:
        """The box of a region as it is now; None if there is no such region."""
        region = self._regions.get(name or "")
        return region.box_xyxy if region is not None else None

    def move(self, correction: Correction) -> bool:
        """Give a region another box; its labels become stale.

        What a person wrote or confirmed becomes stale only if the region is where it is another one.
        """
        name, shape = self._names.name(correction.region_id), self._shape(correction)
        if name is None or name not in self._regions or shape is None:
            return False
        region = self._regions[name]
        moved = region.model_copy(update=_of_a_person(region, *shape))
        if moved == region:
            return True
        is_another = is_another_box(region.box_xyxy, moved.box_xyxy)
        moved.labels = [made_stale(label, locked_too=is_another) for label in region.labels]
        self._regions[name] = moved
        return True

    def add(self, correction: Correction) -> bool:
        """Add a region that a person drew."""
        name, shape = self._names.name(correction.new_region_id), self._shape(correction)
        if name is None or shape is None:
            return False
        new = Region(region_id=name, index=0, box_xyxy=shape[0], box_source=Source.HUMAN)
        old = self._regions.get(name, new)
        self._regions[name] = old.model_copy(update=_of_a_person(old, *shape))
        return True

    def delete(self, correction: Correction) -> bool:
        """Remove a region."""
        name = self._names.name(correction.region_id)
        return name is not None and self._regions.pop(name, None) is not None

    def write(self, correction: Correction, text: str) -> bool:
        """Set a person's caption or text of a region."""
        name = self._names.name(correction.region_id)
        column = TEXT_COLUMNS.get(correction.kind) if correction.kind else None
        if name is None or name not in self._regions or column is None or correction.kind is None:
            return False
        # A text that was read may be empty (nothing is written there); an empty caption is no caption.
        label = (
            human_label(correction.kind, text, correction.annotator, correction.at)
            if text or column == "text"
            else None
        )
        self._set_text(name, correction.kind, label)
        return True

    def judge(self, correction: Correction) -> bool:
        """Confirm a right text, remove a wrong one; another text by then stays as it is."""
        name = self._names.name(correction.region_id)
        region = self._regions.get(name) if name is not None else None
        if region is None or name is None or correction.kind is None:
            return False
        label = next((label for label in reversed(region.labels) if _is_answer(label, correction.kind)), None)
        text_before = correction.before.text if correction.before else None
        if label is None or (text_before is not None and label.text != text_before):
            return False
        self._set_text(
            name,
            correction.kind,
            confirmed(label, correction.annotator, correction.at) if correction.right else None,
        )
        return True

    def finish(self) -> tuple[list[Region], dict[str, str]]:
        """The regions with new indices, ids and decisions, and their ids by first name."""
        ids: dict[str, str] = {}
        regions: list[Region] = []
        for name, region in self._regions.items():
            ids[name] = self._names.new_id(name, region.region_id, region.box_xyxy)
            decision = strictest(label.decision for label in region.labels)
            update = {"region_id": ids[name], "index": len(regions), "decision": decision}
            regions.append(region.model_copy(update=update))
        return regions, ids

    def _shape(self, correction: Correction) -> tuple[Box, MaskRle | None] | None:
        """The new box as it is stored (clipped, float32) and the new mask, if it has one.

        None if no part of the box is inside the image, or the mask is not of this image.
        """
        if correction.after is None or correction.after.box_xyxy is None:
            return None
        box = clip_boxes(as_boxes([correction.after.box_xyxy]), (self._row.width, self._row.height))
        if not have_area(box)[0]:
            return None
        x_min, y_min, x_max, y_max = box[0].tolist()
        mask = correction.after.mask_rle
        if mask is not None and not is_mask_of(mask, (self._row.width, self._row.height)):
            return None
        return (x_min, y_min, x_max, y_max), mask

    def _set_text(self, name: str, kind: LabelKind, label: Label | None) -> None:
        region = self._regions[name]
        kept = [label for label in region.labels if not _is_answer(label, kind)]
        update: dict[str, object] = {
            "labels": [*kept, label] if label is not None else kept,
            TEXT_COLUMNS[kind]: label.text if label is not None else None,
        }
        self._regions[name] = region.model_copy(update=update)


def _of_a_person(region: Region, box: Box, mask: MaskRle | None) -> dict[str, object]:
    """What a box that a person drew, or a mask with its box, changes of a region.

    A detector's name and a mask that was there were of the old box.
    """
    kept = region.mask_rle if _same_box(region.box_xyxy, box) else None
    return {
        "box_xyxy": box,
        "box_source": Source.HUMAN,
        "objectness": None,
        "source_label": region.corpus_label,
        "mask_rle": mask or kept,
    }


def is_another_box(box: Box, other: Box) -> bool:
    """True if a region that is moved from one box to the other shows something else than before."""
    return bool(iou_matrix(as_boxes([box]), as_boxes([other]))[0, 0] < SAME_REGION_IOU)


def _is_answer(label: Label, kind: LabelKind) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS


def _same_box(box: Box, other: Box) -> bool:
    return bool((as_boxes([box]) == as_boxes([other])).all())
