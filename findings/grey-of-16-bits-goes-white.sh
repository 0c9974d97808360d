#!/usr/bin/env bash
# Pillow 13.0.0, transformers 5.23.0, imageio 2.38.1, OpenCV 5.0.0, torchvision 0.29.2: a grey PNG of 16 bits turns white on
# its way into a model, or stays as it is, by who reads it.
#
# Pillow's `convert("RGB")` cuts grey values of 16 bits off at 255, while it scales colours of 16 bits by their range. What
# loads images by it (transformers' `load_image`, imageio's `mode="RGB"`, most data sets in PyTorch) hands a model a white
# picture of depth, thermal, X-ray or microscope images, and no error. OpenCV scales both. torchvision keeps 16 bits for
# both: `mode="RGB"` gives three channels, as uint16.
#
# Output seen (three quarters of the range is 192 of 255):
#   Pillow: grey 255, colour 192
#   transformers: grey 255, colour 192
#   imageio: grey 255, colour 192
#   OpenCV: grey 192, colour 192
#   torchvision: grey 49152, colour 49152
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
install pillow==13.0.0 transformers==5.23.0 imageio==2.38.1 opencv-python-headless==5.0.0.93 torch==2.15.0 torchvision==0.29.2
cat > read.py <<'END'
import cv2
import imageio.v3 as imageio
import numpy as np
import torchvision
from PIL import Image
from transformers.image_utils import load_image

VALUE = 49152  # three quarters of 65,536
cv2.imwrite("grey.png", np.full((8, 8), VALUE, np.uint16))
cv2.imwrite("colour.png", np.full((8, 8, 3), VALUE, np.uint16))
readers = {
    "Pillow": lambda path: Image.open(path).convert("RGB"),
    "transformers": load_image,
    "imageio": lambda path: imageio.imread(path, mode="RGB"),
    "OpenCV": cv2.imread,
    "torchvision": lambda path: torchvision.io.decode_image(path, mode="RGB"),
}
for name, read in readers.items():
    grey, colour = (np.asarray(read(f"{kind}.png")).max() for kind in ("grey", "colour"))
    print(f"{name}: grey {grey}, colour {colour}")
END
env/bin/python read.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
Pillow: grey 255, colour 192
transformers: grey 255, colour 192
imageio: grey 255, colour 192
OpenCV: grey 192, colour 192
torchvision: grey 49152, colour 49152
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
