#!/usr/bin/env bash
# torchvision 0.29.2, transformers 5.23.0, supervision 0.31.2, pycocotools 2.0.10, OpenCV 5.0.0, scikit-image 0.26.0: the box
# of one mask, asked of six libraries, has two answers.
#
# `masks_to_boxes` of torchvision and of transformers' DETR, SAM's and supervision's functions give the first and last pixel as
# corners. As `xyxy` everywhere else in these libraries (NMS, IoU, `box_convert`, COCO files), such a box lacks the last column
# and row; a thing of one pixel has no area. pycocotools, OpenCV and scikit-image give the box around all pixels. Boxes of gold
# made by one and of a detector by another lose most where things are small: at 4 x 3 pixels a perfect mask has an IoU of
# .50, and things of one pixel cannot be found at all.
#
# Output seen:
#   torchvision, DETR, SAM, supervision: 3 2 6 4, of one pixel 4 4 4 4
#   pycocotools, OpenCV, scikit-image: 3 2 7 5, of one pixel 4 4 5 5
#   IoU of both by torchvision: 0.50, of one pixel 0.00
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
install torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 supervision==0.31.2 pycocotools==2.0.10 \
    opencv-python-headless==5.0.0.93 scikit-image==0.26.0
cat > boxes.py <<'END'
import cv2
import numpy as np
import supervision
import torch
from pycocotools import mask as coco
from skimage.measure import regionprops
from torchvision.ops import box_iou, masks_to_boxes
from transformers.models.detr.image_processing_detr import masks_to_boxes as detr_boxes
from transformers.models.sam.image_processing_sam import _batched_mask_to_box as sam_boxes

thing, pixel = np.zeros((2, 10, 10), np.uint8)
thing[2:5, 3:7] = 1
pixel[4, 4] = 1


def corners(mask):
    x, y, width, height = coco.toBbox(coco.encode(np.asfortranarray(mask)))
    left, top, across, down = cv2.boundingRect(mask)
    first_row, first_column, row, column = regionprops(mask)[0].bbox
    tensor = torch.tensor(mask[None])
    yield "torchvision", masks_to_boxes(tensor)[0]
    yield "DETR", detr_boxes(tensor)[0]
    yield "SAM", sam_boxes(tensor.bool())[0]
    yield "supervision", supervision.mask_to_xyxy(mask[None].astype(bool))[0]
    yield "pycocotools", (x, y, x + width, y + height)
    yield "OpenCV", (left, top, left + across, top + down)
    yield "scikit-image", (first_column, first_row, column, row)


answers = {}
for (library, of_thing), (_, of_pixel) in zip(corners(thing), corners(pixel)):
    texts = [" ".join(str(int(value)) for value in box) for box in (of_thing, of_pixel)]
    answers.setdefault(tuple(texts), []).append(library)
for (of_thing, of_pixel), libraries in answers.items():
    print(f"{', '.join(libraries)}: {of_thing}, of one pixel {of_pixel}")
short, whole = (torch.tensor([[float(value) for value in text.split()] for text in texts]) for texts in answers)
both = box_iou(short, whole).diagonal()
print(f"IoU of both by torchvision: {both[0]:.2f}, of one pixel {both[1]:.2f}")
END
env/bin/python boxes.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
torchvision, DETR, SAM, supervision: 3 2 6 4, of one pixel 4 4 4 4
pycocotools, OpenCV, scikit-image: 3 2 7 5, of one pixel 4 4 5 5
IoU of both by torchvision: 0.50, of one pixel 0.00
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
