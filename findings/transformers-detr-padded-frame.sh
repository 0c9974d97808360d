#!/usr/bin/env bash
# transformers 5.23.0: with `pad_size`, an image processor of the DETR family does not give back the boxes it was given.
#
# Training: the processor resizes an image, pads it to `pad_size` and writes the boxes as parts of the padded picture, which
# the model learns. Prediction: `post_process_object_detection` multiplies the model's boxes by `target_sizes`, documented as
# the sizes of the original images. For a model that has learned its training set by heart, every box of an image that is
# not square (or of another size than the padding) comes out shrunk towards the upper left corner, without a warning.
# Without `pad_size` the same round trip is exact. The same holds for the processors of YOLOS, Conditional and Deformable
# DETR and Grounding DINO.
#
# Output seen: a box at 40, 20, 80, 40 of an image of 100 x 50 comes back as 40, 10, 80, 20.
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
install transformers==5.23.0 torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.2.6
cat > "$folder/try.py" <<'PYTHON'
from types import SimpleNamespace

import torch
from PIL import Image
from transformers import DetrImageProcessor

image = Image.new("RGB", (100, 50))
annotation = {
    "image_id": 1,
    "annotations": [{"bbox": [40, 20, 40, 20], "category_id": 0, "area": 800, "iscrowd": 0}],
}


def round_trip(pad_size):
    """The boxes of a model that answers what it was taught."""
    processor = DetrImageProcessor(size={"shortest_edge": 50, "longest_edge": 100}, pad_size=pad_size)
    inputs = processor(images=[image], annotations=[annotation], return_tensors="pt")
    boxes = inputs["labels"][0]["boxes"][None]
    logits = torch.tensor([[[9.0, -9.0]]])
    answer = SimpleNamespace(logits=logits, pred_boxes=boxes)
    (found,) = processor.post_process_object_detection(answer, threshold=0.5, target_sizes=[(50, 100)])
    return tuple(inputs["pixel_values"].shape[-2:]), found["boxes"][0].round(decimals=2).tolist()


for pad_size in (None, {"height": 100, "width": 100}):
    print("pad_size", pad_size, "picture and box:", *round_trip(pad_size))
assert round_trip(None) == ((50, 100), [40, 20, 80, 40])
assert round_trip({"height": 100, "width": 100}) == ((100, 100), [40, 10, 80, 20])
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: transformers 5.23.0"
