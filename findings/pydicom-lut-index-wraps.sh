#!/usr/bin/env bash
# pydicom 3.0.2: `apply_voi_lut` looks values up modulo 256 where a table has entries of 8 bits.
#
# A VOI LUT for an image of 12 bits commonly has 4,096 entries, and a display of 8 bits takes entries of 8 bits:
# LUT descriptor 4096, 0, 8 is valid (PS3.3, C.11.2.1.1). pydicom keeps the place in the table in the type of the
# entries, so that places over 255 wrap around: the picture has bands in place of contrast, and no error.
# `apply_color_lut` does the same to pixels of 16 bits with palettes of 8 bits.
#
# Output seen: a table that halves and halves again to 8 bits, at 0, 1000, 2000, 4000: expected 0 62 125 250, got
# 0 14 13 10.
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
install pydicom==3.0.2 numpy
cat > "$folder/try.py" <<'PYTHON'
import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence

table = Dataset()
table.LUTDescriptor = [4096, 0, 8]
table.add_new("LUTData", "US", (np.arange(4096) // 16).tolist())
image = Dataset()
image.VOILUTSequence = Sequence([table])
values = np.array([0, 1000, 2000, 4000], np.uint16)
shown = apply_voi_lut(values, image)
print("expected", *(values // 16), "got", *shown)
assert shown.tolist() == [(value % 256) // 16 for value in values.tolist()]
assert shown.tolist() != (values // 16).tolist()
PYTHON
"$folder/env/bin/python" "$folder/try.py"
echo "as described: pydicom 3.0.2"
