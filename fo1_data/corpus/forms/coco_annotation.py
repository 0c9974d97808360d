"""One annotation of COCO JSON: a box with its texts, or a caption of the whole image."""

import math
from collections import Counter
from typing import Any

from fo1_data.corpus.forms.masks import box_of_segmentation
from fo1_data.corpus.forms.record_fields import box_of, id_of, text_of
from schemas.corpus import CorpusRegion
from schemas.sources import ContentKind

_NOT_KEPT = ("bbox", "segmentation", "category_id", "image_id", "area", "keypoints", "num_keypoints")
_TEXTS = ("caption", "detailed_caption", "text")

Annotation = dict[str, Any]


def is_boxed(annotation: Annotation) -> bool:
    """Whether an annotation is of a part of the image; what says nothing of a box is of the whole."""
    return bool(annotation.get("bbox")) or bool(annotation.get("segmentation")) or "bbox" in annotation


def count_annotation(annotation: Annotation) -> Counter[ContentKind]:
    """What one annotation holds: a box with its texts, or a caption of the image."""
    has = {key: text_of(annotation.get(key)) is not None for key in _TEXTS}
    if not is_boxed(annotation):
        return Counter({ContentKind.CAPTIONS: int(has["caption"])})
    return Counter(
        {
            ContentKind.BOXES: 1,
            ContentKind.CAPTIONS: has["caption"] + has["detailed_caption"],
            ContentKind.TEXTS: int(has["text"]),
        }
    )


def region_of(annotation: Annotation, names: dict[str | None, str | None]) -> CorpusRegion:
    """The region of an annotation with a box. `names`: of the categories, by their ids."""
    category = annotation.get("category_id")
    label = names.get(id_of(category)) or text_of(category)
    texts: dict[str, Any] = {key: text_of(annotation.get(key)) for key in _TEXTS}
    return CorpusRegion(box_xyxy=box_of_annotation(annotation), label=label, **texts)


def other_fields(annotation: Annotation) -> dict[str, Any]:
    """The fields that a region has no place for."""
    return {k: v for k, v in annotation.items() if k not in (*_NOT_KEPT, *_TEXTS)}


def box_of_annotation(annotation: Annotation) -> tuple[float, float, float, float]:
    """x_min y_min x_max y_max: of `bbox`, or around the segmentation if `bbox` has no area."""
    left, top, width, height = box_of(annotation.get("bbox"))
    if not (math.isfinite(left + top + width + height) and width > 0 and height > 0):
        around = box_of_segmentation(annotation.get("segmentation"))
        if around is not None:
            return around
    return left, top, left + width, top + height
