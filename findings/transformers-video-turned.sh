#!/usr/bin/env bash
# transformers 5.23.0 (PyAV 18.1.0, OpenCV 4.12.0): `load_video` gives a telephone's upright video lying on its side with
# one backend and upright with the other.
#
# Telephones store frames as the sensor lies and write the turn into the container. OpenCV turns frames as it reads them,
# PyAV leaves it to the caller (`frame.rotation`), and `load_video` adds nothing: one file has two shapes. A model that was
# trained with one backend sees sideways videos with the other, and boxes of one are not in the frame of the other. The
# metadata's `width` and `height` are those of each backend, and do not say which it is.
#
# Output seen, for 160 x 96 stored with a turn of 90 degrees: pyav (96, 160), opencv (160, 96).
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
install transformers==5.23.0 av==18.1.0 opencv-python-headless==4.12.0.88 numpy==2.2.6 pillow==13.0.0 imageio-ffmpeg==0.6.0
cat > "$folder/try.py" <<'PYTHON'
import subprocess
import sys

import imageio_ffmpeg
from transformers.video_utils import load_video

stored, turned = f"{sys.argv[1]}/stored.mp4", f"{sys.argv[1]}/turned.mp4"


def ffmpeg(*arguments):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments], check=True)


ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=1", "-c:v", "libx264", stored)
ffmpeg("-display_rotation", "90", "-i", stored, "-c", "copy", turned)
shapes = {}
for backend in ("pyav", "opencv"):
    video, metadata = load_video(turned, num_frames=4, backend=backend)
    shapes[backend] = video.shape[1:3]
    print(backend, "height, width of frames", shapes[backend], "in metadata", (metadata.height, metadata.width))
assert shapes == {"pyav": (96, 160), "opencv": (160, 96)}
PYTHON
"$folder/env/bin/python" "$folder/try.py" "$folder"
echo "as described: transformers 5.23.0"
