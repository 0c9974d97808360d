#!/usr/bin/env bash
# albumentations 2.0.8, AlbumentationsX 2.5.1: whole numbers beside boxes come back rounded to 24 bits, so that two objects get
# one id, even where no box was changed.
#
# `label_fields` travel through the transforms as columns of the boxes, in float32. COCO's own files have annotation ids of
# twelve digits (its crowds), and ids of tables and hashes are longer. Each comes back as another number; what looks up a mask, a
# caption or a track by it finds none, or that of a neighbour. Text is kept: give ids as strings. Fields of keypoints do the same.
#
# Output seen (the ids 900100184613 and 900100184614 of two boxes through NoOp, as list, array and strings; then of keypoints):
#   albumentations list: 900100194304 900100194304
#   albumentations array: 900100194304 900100194304
#   albumentations strings: 900100184613 900100184614
#   albumentations keypoints: 900100194304 900100194304
#   AlbumentationsX list: 900100194304 900100194304
#   AlbumentationsX array: 900100194304 900100194304
#   AlbumentationsX strings: 900100184613 900100184614
#   AlbumentationsX keypoints: 900100194304 900100194304
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into an environment of the temporary folder, with uv if there is one
    local env="$folder/$1"
    shift
    if command -v uv > /dev/null; then
        uv venv --quiet "$env" && uv pip install --quiet --python "$env/bin/python" "$@"
    else
        python3 -m venv "$env" && "$env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install albumentations albumentations==2.0.8 opencv-python-headless==5.0.0.93
install AlbumentationsX albumentationsx==2.5.1 opencv-python-headless==5.0.0.93 torch==2.15.0
cat > ids.py <<'END'
import sys

import albumentations as A
import numpy as np

name, form = sys.argv[1:]
IDS = [900100184613, 900100184614]
picture = np.zeros((50, 100, 3), np.uint8)
boxes = A.BboxParams(**{form: "coco"}, label_fields=["ids"])
points = A.KeypointParams(**{form: "xy"}, label_fields=["ids"])


def through(parameters, ids):
    result = A.Compose([A.NoOp()], **parameters)(
        image=picture,
        **({"bboxes": [[10, 10, 20, 20], [40, 10, 20, 20]]} if "bbox_params" in parameters else {"keypoints": [[1, 2], [3, 4]]}),
        ids=ids,
    )
    return " ".join(str(int(one)) for one in result["ids"])


print(f"{name} list: {through({'bbox_params': boxes}, IDS)}")
print(f"{name} array: {through({'bbox_params': boxes}, np.array(IDS))}")
print(f"{name} strings: {through({'bbox_params': boxes}, [str(one) for one in IDS])}")
print(f"{name} keypoints: {through({'keypoint_params': points}, IDS)}")
END
export NO_ALBUMENTATIONS_UPDATE=1 ALBUMENTATIONS_NO_TELEMETRY=1
albumentations/bin/python ids.py albumentations format > out 2> log || { cat log; exit 1; }
AlbumentationsX/bin/python ids.py AlbumentationsX coord_format >> out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
albumentations list: 900100194304 900100194304
albumentations array: 900100194304 900100194304
albumentations strings: 900100184613 900100184614
albumentations keypoints: 900100194304 900100194304
AlbumentationsX list: 900100194304 900100194304
AlbumentationsX array: 900100194304 900100194304
AlbumentationsX strings: 900100184613 900100184614
AlbumentationsX keypoints: 900100194304 900100194304
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
