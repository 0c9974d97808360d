#!/usr/bin/env bash
# label-studio-sdk 2.1.2: one export, converted to COCO, YOLO and Pascal VOC, gives three different data sets.
#
# The project has rectangles with `choice="multiple"`. A box with two labels is one COCO annotation and one VOC
# object, both with its first label only; in YOLO it is two boxes. A box that is rotated by 90 degrees is turned
# in COCO (its x begins at -10, outside of the image); YOLO and VOC write it as if it were not rotated. An image
# that was annotated as empty is there in COCO, is an empty file in YOLO, and is missing in VOC.
#
# Output seen:
#   COCO  [[cat, 10, 10], [cat, -10, 10]], 2 images
#   YOLO  3 boxes, the rotated one equal to the first; 2 label files
#   VOC   [[cat, 10, 10], [cat, 10, 10]], 1 file
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
install label-studio-sdk==2.1.2
cat > "$folder/try.py" <<'PYTHON'
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from label_studio_sdk.converter import Converter

folder = Path(sys.argv[1])
config = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image" choice="multiple"><Label value="cat"/><Label value="pet"/>
</RectangleLabels></View>"""


def box(name, labels, rotation):
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": rotation, "rectanglelabels": labels}
    return {
        "id": name, "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value,
        "original_width": 100, "original_height": 100, "image_rotation": 0,
    }


def task(number, boxes):
    image = {"image": f"https://example.org/{number}.jpg"}
    return {"id": number, "data": image, "annotations": [{"id": number, "result": boxes}]}


source = folder / "export.json"
source.write_text(json.dumps([task(1, [box("a", ["cat", "pet"], 0), box("b", ["cat"], 90)]), task(2, [])]))
converter = Converter(config, str(folder), download_resources=False)
converter.convert_to_coco(str(source), str(folder / "coco"), is_dir=False)
converter.convert_to_yolo(str(source), str(folder / "yolo"), is_dir=False)
converter.convert_to_voc(str(source), str(folder / "voc"), is_dir=False)

coco = json.loads((folder / "coco" / "result.json").read_text())
names = {category["id"]: category["name"] for category in coco["categories"]}
in_coco = [[names[a["category_id"]], *map(round, a["bbox"][:2])] for a in coco["annotations"]]
texts = sorted(path.read_text().split("\n") for path in (folder / "yolo" / "labels").glob("*.txt"))
in_yolo = sorted(line.strip() for lines in texts for line in lines if line.strip())
files = list((folder / "voc" / "Annotations").glob("*.xml"))
in_voc = [
    [thing.findtext("name"), *(round(float(thing.findtext(f"bndbox/{side}"))) for side in ("xmin", "ymin"))]
    for path in files for thing in ElementTree.parse(path).iter("object")
]
print("COCO", in_coco, len(coco["images"]), "images")
print("YOLO", in_yolo, len(texts), "files")
print("VOC ", in_voc, len(files), "files")
assert in_coco == [["cat", 10, 10], ["cat", -10, 10]] and len(coco["images"]) == 2
assert in_yolo == ["0 0.2 0.2 0.2 0.2", "0 0.2 0.2 0.2 0.2", "1 0.2 0.2 0.2 0.2"] and len(texts) == 2
assert in_voc == [["cat", 10, 10], ["cat", 10, 10]] and len(files) == 1
PYTHON
"$folder/env/bin/python" "$folder/try.py" "$folder" 2> "$folder/messages" || { cat "$folder/messages"; exit 1; }
echo "as described: label-studio-sdk 2.1.2"
