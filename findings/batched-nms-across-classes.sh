#!/usr/bin/env bash
# torchvision 0.29.2: `batched_nms` drops a box because of a box of another class that lies elsewhere.
#
# It promises that boxes of different classes never suppress each other. For few boxes it runs one NMS over
# all of them after moving each class by its number times (the largest coordinate + 1). That separates classes
# only if no coordinate is negative, as those of a detector's boxes are before clipping: a box that leaves the
# image at the upper left is moved onto one of the class before. With more boxes (on a CPU: over 1,000) each
# class gets an NMS of its own, so that the same two boxes are both kept: adding boxes brings a box back.
#
# Output seen: two boxes of two classes, 95 px apart: [0]; with 1,000 more boxes elsewhere: [0, 1];
# both boxes moved by 95 px, so that no coordinate is negative: [0, 1].
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
install torch==2.15.0 torchvision==0.29.2 numpy==2.2.6
cat > "$folder/try.py" <<'PYTHON'
import torch
from torchvision.ops import batched_nms, box_iou

boxes = torch.tensor([[100.0, 100, 200, 200], [-95.0, -95, 5, 5]])
scores, classes = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
assert box_iou(boxes, boxes)[0, 1] == 0
few = batched_nms(boxes, scores, classes, 0.5).tolist()
elsewhere = torch.arange(1000.0)[:, None] * torch.tensor([0.0, 3, 0, 3]) + torch.tensor([150.0, 300, 151, 301])
kept = batched_nms(
    torch.cat([boxes, elsewhere]),
    torch.cat([scores, torch.full((1000,), 0.1)]),
    torch.cat([classes, torch.full((1000,), 2)]),
    0.5,
).tolist()
moved = batched_nms(boxes + 95, scores, classes, 0.5).tolist()
print("two boxes", few, "with 1,000 more", [place for place in kept if place < 2], "moved", moved)
assert few == [0]
assert [place for place in kept if place < 2] == [0, 1]
assert moved == [0, 1]
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: torchvision 0.29.2, torch 2.15.0"
