#!/usr/bin/env bash
# datasets 5.2.0, MosaicML Streaming 0.13.0, litdata 0.2.76, Pillow 13.0.0: an image that was opened by its path and changed in
# place is stored as its file is, without the change.
#
# Pillow's `thumbnail`, `paste` and `ImageDraw` change an image and leave its `filename`, and what stores images by that name
# copies the file: boxes that were scaled with the image no longer fit it, and a face that was painted over is there again.
# `resize` makes an image without a name, which is stored as it looks. In `Dataset.map` the same function does either: the
# change is lost where rows hold paths, and kept where they hold bytes, or where an EXIF tag made `datasets` turn the image.
#
# Output seen (of a white file of 40 x 20):
#   thumbnail of 20 x 10: datasets 40 x 20, Streaming 40 x 20, litdata 40 x 20
#   painted black: datasets white, Streaming white, litdata white
#   resize to 20 x 10: datasets 20 x 10, Streaming 20 x 10, litdata 20 x 10
#   thumbnail of 20 x 10 in map: of a path 40 x 20, of bytes 20 x 10, of a path with a tag 10 x 20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into an environment of the temporary folder, with uv if there is one
    local env="$folder/$1"
    shift
    if command -v uv > /dev/null; then
        uv venv --quiet "$env" && uv pip install --quiet --python "$env/bin/python" "$@"
    else
        python3 -m venv "$env" && "$env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install env pillow==13.0.0 datasets==5.2.0 litdata==0.2.76 torch==2.15.0  # Streaming asks for another huggingface_hub
install streaming pillow==13.0.0 mosaicml-streaming==0.13.0 torch==2.15.0
cat > change.py <<'END'
from PIL import Image


def thumbnail(image):
    image.thumbnail((20, 20))
    return image


def painted(image):
    image.paste("black", (0, 0, *image.size))
    return image


def resize(image):
    return image.resize((20, 10))


def changed(change):
    return {"image": change(Image.open("white.jpg"))}


CHANGES = {"thumbnail of 20 x 10": thumbnail, "painted black": painted, "resize to 20 x 10": resize}


def looks(change, width, height, value):
    return ("white" if value > 127 else "black") if change is painted else f"{width} x {height}"
END
cat > by_streaming.py <<'END'
from change import CHANGES, changed, looks
from streaming import LocalDataset, MDSWriter

with MDSWriter(out="mds", columns={"image": "jpeg"}) as writer:
    for change in CHANGES.values():
        writer.write(changed(change))
for change, row in zip(CHANGES.values(), LocalDataset("mds")):
    print(looks(change, *row["image"].size, row["image"].getpixel((5, 5))[0]))
END
cat > by_litdata.py <<'END'
import litdata
from change import CHANGES, changed, looks

if __name__ == "__main__":
    litdata.optimize(changed, list(CHANGES.values()), "lit", num_workers=1, chunk_size=1, keep_data_ordered=True)
    with open("litdata.txt", "w") as file:
        for change, row in zip(CHANGES.values(), litdata.StreamingDataset("lit")):
            _, height, width = row["image"].shape
            print(looks(change, width, height, row["image"][0, 5, 5]), file=file)
END
cat > by_datasets.py <<'END'
import datasets
from change import CHANGES, changed, looks, thumbnail
from PIL import Image

tag = Image.Exif()
tag[0x112] = 6
Image.new("RGB", (40, 20), "white").save("turned.jpg", exif=tag)
others = [open(name).read().split("\n") for name in ("streaming.txt", "litdata.txt")]
for (name, change), by_streaming, by_litdata in zip(CHANGES.items(), *others):
    image = datasets.Dataset.from_list([changed(change)])[0]["image"]
    stored = looks(change, *image.size, image.getpixel((5, 5))[0])
    print(f"{name}: datasets {stored}, Streaming {by_streaming}, litdata {by_litdata}")
sources = {
    "a path": "white.jpg",
    "bytes": {"bytes": open("white.jpg", "rb").read(), "path": None},
    "a path with a tag": "turned.jpg",
}
sizes = []
for name, source in sources.items():
    rows = datasets.Dataset.from_dict({"image": [source]}).cast_column("image", datasets.Image())
    width, height = rows.map(lambda row: {"image": thumbnail(row["image"])})[0]["image"].size
    sizes.append(f"of {name} {width} x {height}")
print(f"thumbnail of 20 x 10 in map: {', '.join(sizes)}")
END
export HF_HOME="$folder/hub" HF_HUB_OFFLINE=1
env/bin/python -c 'from PIL import Image; Image.new("RGB", (40, 20), "white").save("white.jpg")'
streaming/bin/python by_streaming.py > streaming.txt 2> log || { cat log; exit 1; }
env/bin/python by_litdata.py > log 2>&1 || { cat log; exit 1; }
env/bin/python by_datasets.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
thumbnail of 20 x 10: datasets 40 x 20, Streaming 40 x 20, litdata 40 x 20
painted black: datasets white, Streaming white, litdata white
resize to 20 x 10: datasets 20 x 10, Streaming 20 x 10, litdata 20 x 10
thumbnail of 20 x 10 in map: of a path 40 x 20, of bytes 20 x 10, of a path with a tag 10 x 20
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
