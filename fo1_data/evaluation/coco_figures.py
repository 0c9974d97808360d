"""COCO's average precision and recall of detections, and its recall of proposals, by faster-coco-eval.

A detection is a region that a `detect` label names. Its class is the phrase; its score is the label's
confidence (1 if it has none) times the region's objectness (1 if it has none). The classes are gold's region
labels, compared without case. Crowds (`iscrowd` of the source) are ignored, as in COCO. Small, medium and
large go by the area of the box, not of the mask as in COCO's own files. Boxes are in pixels of the
EXIF-oriented image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from fo1_data.boxes import Boxes, as_boxes, xyxy_to_xywh
from fo1_data.judging.matching import Pair, has_own_boxes
from schemas.labels import LabelKind
from schemas.regions import Region

_ANY_CLASS = "object"
_NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large",
          "mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")  # fmt: skip

# Image number from 1, class, boxes, a score for each box.
Detections = tuple[int, str, Boxes, list[float]]


def score_detections(pairs: Sequence[Pair]) -> dict[str, object]:
    """mAP and mAR over gold's classes, and the AP of each class; `{"num": 0}` if there is no detection."""
    requested = {
        part.phrase.casefold()
        for pair in pairs
        for part in pair.row.groundings
        if part.kind is LabelKind.DETECT
    }
    classes = sorted(
        {label.casefold() for pair in pairs for region in pair.gold.regions or [] if (label := region.label)}
    )
    if not requested or not classes:
        return {"num": 0}
    detections = [group for number, pair in enumerate(pairs, start=1) for group in _detections(pair, number)]
    evaluator = _evaluate(pairs, detections, classes)
    figures = _figures(evaluator)
    precision = evaluator.eval["precision"]  # (thresholds, recalls, classes, areas, most detections)
    per_class: dict[str, float | None] = {}
    for index, name in enumerate(classes):
        of_class = precision[:, :, index, 0, -1]
        defined = of_class[of_class > -1]
        per_class[name] = round(float(defined.mean()), 6) if defined.size else None
    num = sum(len(scores) for *_, scores in detections)
    return {"num": num, **figures, "per_class": per_class, "not_asked": sorted(set(classes) - requested)}


def score_recall(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Class-agnostic average recall of the regions by COCO's rules, over IoU 0.5 to 0.95.

    Images whose boxes are gold's own are left out; `{}` without gold regions in the others.
    """
    pairs = [pair for pair in pairs if not has_own_boxes(pair)]
    if not any(pair.gold.regions for pair in pairs):
        return {}
    detections: list[Detections] = []
    for number, pair in enumerate(pairs, start=1):
        boxes = as_boxes([region.box_xyxy for region in pair.row.regions])
        detections.append((number, _ANY_CLASS, boxes, [_objectness(region) for region in pair.row.regions]))
    figures = _figures(_evaluate(pairs, detections, [_ANY_CLASS], any_class=True))
    return {f"coco_{name}": figures[name] for name in ("mar_1", "mar_10", "mar_100")}


def _detections(pair: Pair, number: int) -> list[Detections]:
    regions = {region.region_id: region for region in pair.row.regions}
    detections: list[Detections] = []
    for part in pair.row.groundings:
        if part.kind is not LabelKind.DETECT:
            continue
        named = [regions[region_id] for region_id in part.region_ids if region_id in regions]
        confidence = part.label.confidence if part.label.confidence is not None else 1.0
        scores = [confidence * _objectness(region) for region in named]
        boxes = as_boxes([region.box_xyxy for region in named])
        detections.append((number, part.phrase.casefold(), boxes, scores))
    return detections


def _objectness(region: Region) -> float:
    return region.objectness if region.objectness is not None else 1.0


def _evaluate(
    pairs: Sequence[Pair], detections: Sequence[Detections], classes: Sequence[str], any_class: bool = False
) -> Any:
    """The accumulated COCO evaluator. `any_class`: gold regions of every label count as one class."""
    ids = {name: number for number, name in enumerate(classes, start=1)}
    truth = COCO(_gold_document(pairs, ids, any_class))
    results = [
        {"image_id": number, "category_id": ids[name], "bbox": box, "score": score}
        for number, name, boxes, scores in detections
        if name in ids
        for box, score in zip(xyxy_to_xywh(boxes).tolist(), scores, strict=True)
    ]
    answers = (
        truth.loadRes(results) if results else COCO({**_gold_document([], ids, any_class), "images": []})
    )
    evaluator = COCOeval_faster(truth, answers, iouType="bbox")
    evaluator.params.imgIds = list(range(1, len(pairs) + 1))
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator


def _gold_document(pairs: Sequence[Pair], ids: dict[str, int], any_class: bool) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs, start=1):
        regions = pair.gold.regions or []
        metas = (pair.gold.meta or {}).get("region_meta") or []
        metas = metas if len(metas) == len(regions) else [{}] * len(regions)
        crowds = [int(bool(meta.get("iscrowd"))) for meta in metas]
        boxes = xyxy_to_xywh(as_boxes([region.box_xyxy for region in regions])).tolist()
        for region, box, crowd in zip(regions, boxes, crowds, strict=True):
            name = _ANY_CLASS if any_class else (region.label or "").casefold()
            if name in ids:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": ids[name],
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": crowd,
                    }
                )
    return {
        "info": {},
        "images": [
            {"id": number, "width": pair.row.width, "height": pair.row.height}
            for number, pair in enumerate(pairs, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


def _figures(evaluator: Any) -> dict[str, float | None]:
    stats = np.asarray(evaluator.stats, dtype=np.float64)[: len(_NAMES)]
    return {
        name: round(float(value), 6) if value > -1 else None
        for name, value in zip(_NAMES, stats, strict=True)
    }
