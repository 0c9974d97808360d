#!/usr/bin/env bash
# transformers 5.23.0: PaddleOCR-VL's image processor gives patches row by row, Qwen2-VL's by squares of four.
#
# Both have `patch_size` 14, `merge_size` 2 and return `pixel_values` and `image_grid_thw`, and their grids are equal; the
# one is easily put in place of the other. Qwen's patches come flat and in the order in which four are merged later;
# PaddleOCR-VL's come as pictures (N, 3, 14, 14), row by row, and its model gathers the four itself. A reshape makes one fit
# the other, and then each image token is made of the wrong four patches, without an error.
#
# Output seen, for 4 x 8 patches numbered row by row: Qwen2-VL 0 1 8 9 2 3 10 11 ..., PaddleOCR-VL 0 1 2 3 4 5 6 7 ...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"  # uv takes overrides from a project that it is called in
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
install transformers==5.23.0 torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.2.6
cat > try.py <<'PYTHON'
import numpy as np
from PIL import Image
from transformers import PaddleOCRVLImageProcessor, Qwen2VLImageProcessor

numbers = np.arange(32, dtype=np.uint8).reshape(4, 8) * 8
image = Image.fromarray(np.repeat(np.repeat(numbers, 14, 0), 14, 1)).convert("RGB")
plain = {"do_resize": False, "do_rescale": False, "do_normalize": False}
order = {}
for processor in (Qwen2VLImageProcessor, PaddleOCRVLImageProcessor):
    given = processor(patch_size=14, merge_size=2, **plain)(images=[image], return_tensors="np")
    patches = np.asarray(given["pixel_values"])
    order[processor] = (patches.reshape(32, -1)[:, 0] / 8).astype(int).tolist()
    print(processor.__name__, patches.shape, given["image_grid_thw"].tolist(), order[processor][:8])
assert order[Qwen2VLImageProcessor][:8] == [0, 1, 8, 9, 2, 3, 10, 11]
assert order[PaddleOCRVLImageProcessor] == list(range(32))
PYTHON
env/bin/python try.py
echo "as described: transformers 5.23.0"
