#!/usr/bin/env bash
# PyAV 18.1.0: the frames of H.264 in AVI come in the right order with times that go back and forth.
#
# AVI stores no times of presentation. With B-frames, which are stored in another order than they are shown, FFmpeg gives
# each decoded frame a `pts` all the same: that of a neighbour. Nothing is None and nothing warns; the pictures are those
# that a player shows, in order. Code that sorts frames by `frame.time`, takes the first frame at or after a time, or feeds
# the times to a tracker gets other frames than it asked for. The same stream in Matroska has rising times.
#
# Output seen, for 8 s at 25 a second: .04 .12 .16 .08 .24 ... in AVI, 63 steps back; 0 .04 .08 ... in Matroska; the same
# pictures in the same order in both.
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
install av==18.1.0 numpy==2.2.6 imageio-ffmpeg==0.6.0
cat > try.py <<'PYTHON'
import subprocess
from itertools import pairwise

import av
import imageio_ffmpeg

seen = {}
for name in ("clip.avi", "clip.mkv"):
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=8"]
    encoder = ["-c:v", "libx264", "-g", "25", "-bf", "2", "-threads", "1"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *encoder, name], check=True)
    with av.open(name) as container:
        frames = list(container.decode(video=0))
    times = [round(float(frame.time), 2) for frame in frames]
    back = sum(second <= first for first, second in pairwise(times))
    seen[name] = back, [frame.to_ndarray().tobytes() for frame in frames]
    print(name, len(frames), "frames", times[:6], "steps back", back)
assert seen["clip.avi"][0] > 20
assert seen["clip.mkv"][0] == 0
assert seen["clip.avi"][1] == seen["clip.mkv"][1]
PYTHON
env/bin/python try.py
echo "as described: PyAV 18.1.0"
