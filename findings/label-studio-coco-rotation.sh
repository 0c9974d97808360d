#!/usr/bin/env bash
# label-studio-sdk 2.1.2, converter to COCO: a rotated rectangle of an image that is not square gets the wrong box.
# A rectangle is `x y width height` in percent of the image, and `rotation` in degrees clockwise about its top left
# corner. Here the image has 120 x 80 pixels, and 12 x 16 pixels at (60, 40) are turned by 90 degrees: the box around
# them is 44..60 x 40..52, as COCO's [x, y, width, height] [44, 40, 16, 12].
# Seen: [36, 40, 24, 8]: the corners are turned in percent, whose units are not the same in both directions.
# fo1-data turns them in pixels. Exits 1 if the converter does something else than what is seen here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet label-studio-sdk==2.1.2
cat > convert.py <<'PY'
import json
from pathlib import Path

from label_studio_sdk.converter import Converter

config = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image"><Label value="dog"/></RectangleLabels></View>"""
rectangle = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90, "rectanglelabels": ["dog"]}
size = {"original_width": 120, "original_height": 80, "image_rotation": 0}
result = {"id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image", **size, "value": rectangle}
annotation = {"id": 1, "completed_by": 1, "was_cancelled": False, "lead_time": 1.0, "result": [result]}
annotation["created_at"] = "2024-01-02T00:00:00Z"
Path("tasks.json").write_text(json.dumps([{"id": 1, "data": {"image": "a.png"}, "annotations": [annotation]}]))
Converter(config, None, download_resources=False).convert("tasks.json", "coco", "COCO", is_dir=False)
(annotation,) = json.loads(Path("coco/result.json").read_text())["annotations"]
box = [round(value, 3) for value in annotation["bbox"]]
print(f"right: [44, 40, 16, 12], seen: {box}")
assert box == [36, 40, 24, 8], "the converter has changed"
PY
env/bin/python convert.py
