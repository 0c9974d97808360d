#!/usr/bin/env bash
# transformers 5.23.0: PP-OCR's detectors give (N, 4, 2) 16-bit corners where (N, 4) boxes are documented, and
# `threshold` is not a score.
#
# `post_process_object_detection` of every other object detector takes the least score as `threshold` and gives `boxes`
# (N, 4), `xyxy`. That of PP-OCR documents the same and gives the four corners of turned rectangles, in whole pixels as
# int16: a corner beyond 32,767 px becomes negative. Its `threshold` makes the probability map black and white, the least
# score is `box_threshold`. With `threshold=0.0`, as one asks any detector for all boxes, the whole image is one blob whose
# mean score is below `box_threshold`, and there are no boxes at all.
#
# Output seen, for a page with two lines: 2 boxes of shape (2, 4, 2) int16; with threshold=0.0: none; on a page 40,000 px
# wide the line at the right has corners at negative x.
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
install transformers==5.23.0 torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.2.6 \
    opencv-python-headless==4.12.0.88
cat > "$folder/try.py" <<'PYTHON'
from types import SimpleNamespace

import torch
from transformers import PPOCRV5ServerDetImageProcessor

probabilities = torch.full((1, 1, 320, 640), 0.01)
probabilities[..., 40:80, 40:300] = 0.9
probabilities[..., 160:200, 560:620] = 0.9
processor = PPOCRV5ServerDetImageProcessor()


def lines(height, width, **options):
    answer = SimpleNamespace(last_hidden_state=probabilities)
    sizes = torch.tensor([(height, width)])
    (found,) = processor.post_process_object_detection(answer, target_sizes=sizes, **options)
    return found["boxes"]


plain, all_of_them, wide = lines(320, 640), lines(320, 640, threshold=0.0), lines(320, 40_000)
print("boxes", tuple(plain.shape), plain.dtype, "with threshold=0.0:", len(all_of_them))
print("least x on a page of 40,000 px:", int(wide[..., 0].min()))
assert plain.shape == (2, 4, 2)
assert plain.dtype == torch.int16
assert len(all_of_them) == 0
assert wide[..., 0].min() < 0
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: transformers 5.23.0"
