#!/usr/bin/env bash
# transformers 5.23.0 (PyAV 18.1.0, OpenCV 4.12.0): of a clip that was cut without encoding, `load_video(num_frames=8)`
# gives 6 frames, and metadata that names 8.
#
# A cut by `ffmpeg -ss ... -c copy` begins at the keyframe before the cut. The frames until the cut stay in the file, are
# counted in its header, and an edit list tells players not to show them; FFmpeg's decoders drop them. `load_video` takes
# the number of frames from the header, spreads its indices over it, and leaves out the indices that do not come. Nothing is
# raised: `frames_indices` still has 8 numbers, so frames and times are no longer side by side, and `duration` is too long.
# The same with `backend="opencv"`, whose CAP_PROP_FRAME_COUNT is the header's number too.
#
# Output seen, for .9 s cut from a clip with a keyframe every 50 frames: the header counts 62 frames, 39 are shown; both
# backends give 6 frames for 8 indices, a duration of 2.48 s in place of 1.56 s.
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

import av
import imageio_ffmpeg
from transformers.video_utils import load_video

whole, cut = f"{sys.argv[1]}/whole.mp4", f"{sys.argv[1]}/cut.mp4"


def ffmpeg(*arguments):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments], check=True)


ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=4", "-c:v", "libx264", "-g", "50", whole)
ffmpeg("-ss", "0.9", "-i", whole, "-t", "1.5", "-c", "copy", cut)
with av.open(cut) as container:
    counted = container.streams.video[0].frames
    shown = sum(1 for _ in container.decode(video=0))
print("frames in the header", counted, "shown", shown)
for backend in ("pyav", "opencv"):
    video, metadata = load_video(cut, num_frames=8, backend=backend)
    print(backend, "frames", len(video), "indices", list(metadata.frames_indices), f"{metadata.duration:.2f} s")
    assert len(load_video(whole, num_frames=8, backend=backend)[0]) == 8
    assert len(video) < len(metadata.frames_indices) == 8
    assert metadata.duration > 1.3 * shown / 25
assert shown < counted
PYTHON
"$folder/env/bin/python" "$folder/try.py" "$folder"
echo "as described: transformers 5.23.0"
