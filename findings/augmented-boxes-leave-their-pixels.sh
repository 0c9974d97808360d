#!/usr/bin/env bash
# kornia 0.9.0, torchvision 0.29.2: boxes that are augmented together with their picture leave their pixels: in kornia by
# mirroring and resizing, in another way for each form of a box; in torchvision by resizing, if they are whole numbers.
#
# kornia's `AugmentationSequential` takes corners for centres of pixels. A mirrored `bbox_xyxy` is a pixel too far to the left (or
# to the top), while the same box as `bbox_xywh` is right. A resized one is moved, by up to a pixel of the old picture, and of
# another size in each form. torchvision's transforms v2 are exact for floats; whole numbers (which a list of whole numbers
# becomes) are not rounded but cut, so that each resizing moves a box to the left and up.
#
# Output seen (the box 70 30 90 40 in a picture of 100 x 50, white there and black elsewhere; corners in pixels):
#   mirrored: pixels 10 30 30 40, kornia xyxy 9 30 29 40, kornia xywh 10 30 30 40, torchvision 10 30 30 40
#   doubled: pixels 140 60 180 80, kornia xyxy 140.7 60.6 180.9 80.8, kornia xywh 140.7 60.6 179.9 79.8, torchvision 140 60 180 80
#   torchvision, to 75 x 38 and back: floats 70 30 90 40, whole numbers 69 28 89 39
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
install kornia==0.9.0 torch==2.15.0 torchvision==0.29.2 pycocotools==2.0.10
cat > augment.py <<'END'
import kornia.augmentation as K
import numpy as np
import torch
from pycocotools import mask as coco
from torchvision import tv_tensors
from torchvision.transforms import v2

BOX, BOX_XYWH, FLOATS = [70, 30, 90, 40], [70, 30, 20, 10], [70.0, 30.0, 90.0, 40.0]
picture = torch.zeros(1, 1, 50, 100)
picture[..., 30:40, 70:90] = 1


def corners(x, y, width, height):
    return [x, y, x + width, y + height]


def white(image):
    """The box around the white pixels."""
    mask = (image[0, 0] > 0.5).numpy().astype(np.uint8)
    return corners(*coco.toBbox(coco.encode(np.asfortranarray(mask))))


def by_kornia(transform, key, box):
    change = K.AugmentationSequential(transform, data_keys=["input", key])
    image, boxes = change(picture, torch.tensor([[box]], dtype=torch.float32))
    return white(image), boxes.flatten().tolist()


def by_torchvision(transform, box):
    boxes = tv_tensors.BoundingBoxes([box], format="XYXY", canvas_size=(50, 100))
    image, boxes = transform(tv_tensors.Image(picture), boxes)
    return white(image), boxes.flatten().tolist()


def text(box):
    return " ".join(f"{value:.1f}".removesuffix(".0") for value in box)


for name, kornia, torchvision in (
    ("mirrored", K.RandomHorizontalFlip(p=1.0), v2.RandomHorizontalFlip(p=1.0)),
    ("doubled", K.Resize((100, 200)), v2.Resize((100, 200))),
):
    pixels, xyxy = by_kornia(kornia, "bbox_xyxy", BOX)
    _, xywh = by_kornia(kornia, "bbox_xywh", BOX_XYWH)
    same_pixels, floats = by_torchvision(torchvision, FLOATS)
    assert pixels == same_pixels
    boxes = {"pixels": pixels, "kornia xyxy": xyxy, "kornia xywh": corners(*xywh), "torchvision": floats}
    print(f"{name}: {', '.join(f'{of} {text(box)}' for of, box in boxes.items())}")
there_and_back = v2.Compose([v2.Resize((38, 75)), v2.Resize((50, 100))])
floats, whole = (text(by_torchvision(there_and_back, box)[1]) for box in (FLOATS, BOX))
print(f"torchvision, to 75 x 38 and back: floats {floats}, whole numbers {whole}")
END
env/bin/python augment.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
mirrored: pixels 10 30 30 40, kornia xyxy 9 30 29 40, kornia xywh 10 30 30 40, torchvision 10 30 30 40
doubled: pixels 140 60 180 80, kornia xyxy 140.7 60.6 180.9 80.8, kornia xywh 140.7 60.6 179.9 79.8, torchvision 140 60 180 80
torchvision, to 75 x 38 and back: floats 70 30 90 40, whole numbers 69 28 89 39
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
