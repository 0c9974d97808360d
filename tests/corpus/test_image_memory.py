"""The memory that decoding takes, in a process of its own."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

MEASURE = """
import sys
from pathlib import Path
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.errors import InputReject
for path in sorted(Path(sys.argv[1]).rglob("*")):
    if path.is_file():
        try:
            decode_rgb(path.read_bytes(), InputLimits())
        except InputReject:
            pass
# Not getrusage: its figure starts with the parent's.
high_water = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(high_water.split()[1]) // 1024)
"""


def peak_mib(folder: Path) -> int:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    return int(run.stdout)


def test_bad_inputs_stay_small(corpora: Path) -> None:
    assert peak_mib(corpora / "bad_inputs" / "images") < 500


def test_the_largest_images_allowed_stay_under_two_gigabytes(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (9_900, 9_900), (10, 200, 30, 128))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba.save(tmp_path / "rgba.png", compress_level=1, exif=exif)
    rgba.convert("RGB").save(tmp_path / "progressive.jpg", progressive=True, exif=exif)
    assert peak_mib(tmp_path) < 2_000
