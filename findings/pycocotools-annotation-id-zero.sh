#!/usr/bin/env bash
# pycocotools 2.0.10: a ground-truth annotation whose id is 0 can never be matched.
#
# Input: one image, one box, one detection equal to it with score 1. COCO's format asks that ids are unique
# integers, not that they are positive. With the annotation id 1 the average precision is 1; with the id 0, and
# nothing else changed, it is 0, without a warning: COCOeval writes the id of the matched annotation into a table in
# which 0 means "no match". So a file numbered from 0 loses its first annotation, whatever the detector says.
# Exit code 0: seen as described. Exit code 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6 pycocotools==2.0.10
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import importlib.metadata
import io
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(annotation_id):
    box = [10, 10, 30, 30]
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        gold.dataset = {
            "info": {},
            "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                {"id": annotation_id, "image_id": 1, "category_id": 1, "bbox": box, "area": 900, "iscrowd": 0}
            ],
        }
        gold.createIndex()
        found = gold.loadRes([{"image_id": 1, "category_id": 1, "bbox": box, "score": 1.0}])
        evaluation = COCOeval(gold, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


figures = {annotation_id: average_precision(annotation_id) for annotation_id in (0, 1)}
print("pycocotools", importlib.metadata.version("pycocotools"))
for annotation_id, figure in figures.items():
    print(f"annotation id {annotation_id}: average precision {figure:.3f}")
sys.exit(0 if figures[0] == 0.0 and abs(figures[1] - 1.0) < 1e-6 else 1)
PYTHON
