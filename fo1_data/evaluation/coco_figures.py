"""COCO's average precision and recall, by faster-coco-eval: of detections, and of mere proposals.

A detection is a region that a `detect` label names; its class is the phrase, its score the label's
confidence (1 where there is none) times the region's objectness (1 where the box was given). Classes are
those of gold's region labels, compared without case. Crowds (`iscrowd` of the source) are passed over, as
COCO does. Boxes: pixels of the EXIF-oriented image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from fo1_data.boxes import Boxes, as_boxes, xyxy_to_xywh
from fo1_data.judging.matching import Pair
from schemas.labels import LabelKind

_ANY = "object"
_NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large",
          "mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")  # fmt: skip

Found = tuple[int, str, Boxes, list[float]]


def score_detections(pairs: Sequence[Pair]) -> dict[str, object]:
    """mAP and mAR over gold's classes, and the AP of each class; `{"num": 0}` where nothing was detected."""
    asked = {
        part.phrase.casefold() for pair in pairs for part in pair.row.groundings if _is_detection(part.kind)
    }
    classes = sorted(
        {label.casefold() for pair in pairs for region in pair.gold.regions or [] if (label := region.label)}
    )
    if not asked or not classes:
        return {"num": 0}
    detections = [found for number, pair in enumerate(pairs, start=1) for found in _detected(pair, number)]
    evaluator = _evaluate(pairs, detections, classes)
    figures = _figures(evaluator)
    precision = evaluator.eval["precision"]  # (thresholds, recalls, classes, areas, most detections)
    per_class: dict[str, float | None] = {}
    for place, name in enumerate(classes):
        known = precision[:, :, place, 0, -1]
        known = known[known > -1]
        per_class[name] = round(float(known.mean()), 6) if known.size else None
    num = sum(len(scores) for *_, scores in detections)
    return {"num": num, **figures, "per_class": per_class, "not_asked": sorted(set(classes) - asked)}


def score_recall(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Class-agnostic average recall of the regions by COCO's rules, over IoU 0.5 to 0.95."""
    if not any(pair.gold.regions for pair in pairs):
        return {}
    found: list[Found] = []
    for number, pair in enumerate(pairs, start=1):
        regions = pair.row.regions
        scores = [region.objectness if region.objectness is not None else 1.0 for region in regions]
        found.append((number, _ANY, as_boxes([region.box_xyxy for region in regions]), scores))
    figures = _figures(_evaluate(pairs, found, [_ANY], any_class=True))
    return {f"coco_{name}": figures[name] for name in ("mar_1", "mar_10", "mar_100")}


def _is_detection(kind: LabelKind) -> bool:
    return kind is LabelKind.DETECT


def _detected(pair: Pair, number: int) -> list[Found]:
    regions = {region.region_id: region for region in pair.row.regions}
    found: list[Found] = []
    for part in pair.row.groundings:
        if not _is_detection(part.kind):
            continue
        named = [regions[region_id] for region_id in part.region_ids if region_id in regions]
        trust = part.label.confidence if part.label.confidence is not None else 1.0
        scores = [trust * (one.objectness if one.objectness is not None else 1.0) for one in named]
        boxes = as_boxes([region.box_xyxy for region in named])
        found.append((number, part.phrase.casefold(), boxes, scores))
    return found


def _evaluate(
    pairs: Sequence[Pair], found: Sequence[Found], classes: Sequence[str], any_class: bool = False
) -> Any:
    ids = {name: number for number, name in enumerate(classes, start=1)}
    truth = COCO(_gold_document(pairs, ids, any_class))
    results = [
        {"image_id": number, "category_id": ids[name], "bbox": box, "score": score}
        for number, name, boxes, scores in found
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
        said = (pair.gold.meta or {}).get("region_meta") or []
        crowds = [bool(one.get("iscrowd")) for one in said] if len(said) == len(regions) else []
        boxes = xyxy_to_xywh(as_boxes([region.box_xyxy for region in regions])).tolist()
        for place, (region, box) in enumerate(zip(regions, boxes, strict=True)):
            name = _ANY if any_class else (region.label or "").casefold()
            if name in ids:
                crowd = int(crowds[place]) if crowds else 0
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
