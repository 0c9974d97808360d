#!/usr/bin/env bash
# transformers 5.23.0: the best 100 detections of Conditional, Deformable, DAB and LW-DETR are a fraction of 100 boxes.
#
# These models have 300 queries, each a box with a score for every class. Their processors keep the `top_k=100` best rows of
# queries x classes before the threshold, so that one box comes back once for each class that scores well, and boxes
# with one good class are cut. With a low threshold, as for proposals or a precision-recall curve, most boxes are lost,
# whatever the threshold says. DETR's own processor, which gives a row for each query, keeps all 300.
#
# Output seen, 300 boxes and 90 classes with scores as a trained model gives them: 300 boxes of DETR's processor, 11 of
# Conditional and of Deformable DETR's, 300 with `top_k=27000`.
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
from transformers import ConditionalDetrImageProcessor, DeformableDetrImageProcessor, DetrImageProcessor

generator = torch.Generator().manual_seed(0)
boxes = torch.rand(1, 300, 4, generator=generator) / 2 + 0.25
# Every box has some likely classes, and boxes differ in how likely.
logits = torch.randn(1, 300, 90, generator=generator) - 4 + 2 * torch.randn(1, 300, 1, generator=generator)


def count(processor, logits, **options):
    answer = SimpleNamespace(logits=logits, pred_boxes=boxes)
    (found,) = processor.post_process_object_detection(answer, 0.0, target_sizes=[(480, 640)], **options)
    return len(found["boxes"]), len(found["boxes"].unique(dim=0))


nothing = torch.zeros(1, 300, 1)  # DETR's scores are a softmax with a class for nothing
detr = count(DetrImageProcessor(), torch.cat([logits, nothing], dim=2))
conditional = count(ConditionalDetrImageProcessor(), logits)
deformable = count(DeformableDetrImageProcessor(), logits)
everything = count(DeformableDetrImageProcessor(), logits, top_k=300 * 90)
print("rows and boxes: DETR", detr, "Conditional", conditional, "Deformable", deformable, "top_k", everything)
assert detr == (300, 300)
assert conditional == deformable
assert conditional[0] == 100
assert conditional[1] < 50
assert everything == (27_000, 300)
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: transformers 5.23.0"
