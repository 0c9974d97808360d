#!/usr/bin/env bash
# supervision 0.31.2, pycocotools 2.0.10: one object whose mask has two parts, or a hole, is a crowd in the COCO file
# that `DetectionDataset.as_coco` writes, and as many objects as it has parts in the YOLO files of `as_yolo`.
#
# pycocotools does not ask whether a crowd was found: a perfect detector of such objects scores -1 (nothing to
# find), and with others beside them they count neither as found nor as missed. After YOLO there are more objects
# than there were. An object of one part without a hole stays as it was in both.
#
# Output seen:
#   whole: COCO iscrowd 0, AP 1.00; YOLO objects 1
#   hole: COCO iscrowd 1, AP -1.00; YOLO objects 1
#   two parts: COCO iscrowd 1, AP -1.00; YOLO objects 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install supervision==0.31.2 pycocotools==2.0.10
cat > convert.py <<'END'
import contextlib
import io
import json

import numpy as np
import supervision
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Image.new("RGB", (400, 400)).save("a.png")
whole = np.zeros((400, 400), bool)
whole[100:140, 100:140] = True
hole, parts = whole.copy(), whole.copy()
hole[110:120, 110:120] = False
parts[200:210, 200:210] = True
for name, mask in ("whole", whole), ("hole", hole), ("two parts", parts):
    box = supervision.mask_to_xyxy(mask[None]).astype(float)
    one = supervision.Detections(xyxy=box, mask=mask[None], class_id=np.array([0]))
    dataset = supervision.DetectionDataset(classes=["ant"], images=["a.png"], annotations={"a.png": one})
    dataset.as_coco(annotations_path="coco.json")
    dataset.as_yolo(annotations_directory_path="yolo")
    (annotation,) = json.load(open("coco.json"))["annotations"]
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO("coco.json")
        found = gold.loadRes([{key: annotation[key] for key in ("image_id", "category_id", "bbox")} | {"score": 1.0}])
        evaluation = COCOeval(gold, found, "bbox")
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    lines = open("yolo/a.txt").read().split("\n")
    print(
        f"{name}: COCO iscrowd {annotation['iscrowd']}, AP {evaluation.stats[0]:.2f};",
        f"YOLO objects {len([line for line in lines if line])}",
    )
END
env/bin/python convert.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
whole: COCO iscrowd 0, AP 1.00; YOLO objects 1
hole: COCO iscrowd 1, AP -1.00; YOLO objects 1
two parts: COCO iscrowd 1, AP -1.00; YOLO objects 2
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
