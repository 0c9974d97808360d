#!/usr/bin/env bash
# Pillow 13.0.0: `getexif()` of a PNG without EXIF decodes the whole image.
#
# Opening an image reads its header only, and so does `getexif()` of a JPEG or WebP. The EXIF chunk of a PNG may
# follow its pixels, so that Pillow loads them if it has not met one before: the usual way to the size of an
# upright image (`size` and `getexif()`) turns a file of a few kilobytes into a hundred megabytes and more.
#
# Output seen, growth of the process' peak memory in `getexif()`: a PNG of 10 kB, 9,000 x 9,000 pixels of one
# bit: about 77 MiB; the same picture as a JPEG: 0 MiB.
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
install pillow==13.0.0
cat > "$folder/make.py" <<'PYTHON'
import sys
from PIL import Image

picture = Image.new("1", (9_000, 9_000))
picture.save(f"{sys.argv[1]}/a.png", compress_level=9)
picture.convert("L").save(f"{sys.argv[1]}/a.jpg")
PYTHON
cat > "$folder/try.py" <<'PYTHON'
import sys
from PIL import Image


def peak_mib() -> int:
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024


Image.init()
with Image.open(sys.argv[1]) as image:
    before = peak_mib()
    assert dict(image.getexif()) == {}
    print(peak_mib() - before)
PYTHON
"$folder/env/bin/python" "$folder/make.py" "$folder"
png=$("$folder/env/bin/python" "$folder/try.py" "$folder/a.png")
jpeg=$("$folder/env/bin/python" "$folder/try.py" "$folder/a.jpg")
echo "a PNG of $(wc -c < "$folder/a.png") bytes: $png MiB more; a JPEG: $jpeg MiB more"
test "$png" -gt 50 && test "$jpeg" -lt 5
echo "as described: Pillow 13.0.0"
