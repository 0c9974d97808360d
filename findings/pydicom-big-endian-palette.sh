#!/usr/bin/env bash
# pydicom 3.0.2: `apply_color_lut` reads the palette of a big-endian file in the order of the machine.
#
# Pixels and segmented palettes of files in Explicit VR Big Endian are read in the file's order, plain palettes are
# not: each entry has its bytes exchanged. Ultrasound palettes whose entries are multiples of 256 become entries
# under 256 of 65,535: a black picture, and no error. pydicom-data carries one picture in both orders.
#
# Output seen, brightest value of the picture out of 65,535: little endian 65280, big endian 255.
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
install pydicom==3.0.2 pydicom-data==1.0.0 numpy
cat > "$folder/try.py" <<'PYTHON'
from pathlib import Path

import data_store
from pydicom import dcmread
from pydicom.pixels import apply_color_lut

brightest = []
for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"):
    dataset = dcmread(next(Path(data_store.__file__).parent.rglob(name)))
    brightest.append(int(apply_color_lut(dataset.pixel_array, dataset).max()))
print("brightest value: little endian", brightest[0], "big endian", brightest[1])
assert brightest[0] > 60_000 and brightest[1] < 256
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: pydicom 3.0.2"
