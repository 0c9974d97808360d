#!/usr/bin/env bash
# trackeval 1.3.0 and label-studio-sdk 2.1.2 cannot be installed into one environment.
#
# The SDK asks for opencv-python-headless 4.12, whose only release of that series asks for numpy below 2.3; trackeval asks
# for numpy from 2.3.2 on. Both are pure Python as far as their users see, neither says that it limits numpy from above,
# and each alone installs. So a service that talks to Label Studio cannot score its tracks by the requirements as published.
# trackeval's HOTA, CLEAR and Identity run with numpy 2.2.6 all the same, if its requirement is left out.
#
# Output seen: the resolver finds no solution for the pair, and one for each; with numpy 2.2.6, two frames that are tracked
# right have HOTA .877, MOTA 1 and IDF1 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"  # uv takes overrides from a project that it is called in
if command -v uv > /dev/null; then
    uv venv --quiet env
    pip() { uv pip "$@" --python env/bin/python; }
else
    python3 -m venv env
    pip() { env/bin/python -m pip "$@"; }
fi
resolves() { pip install --dry-run "$@" > log 2>&1; }

resolves trackeval==1.3.0 && echo "trackeval: resolves"
resolves label-studio-sdk==2.1.2 && echo "label-studio-sdk: resolves"
if resolves trackeval==1.3.0 label-studio-sdk==2.1.2; then
    echo "both: resolve, which is new"
    exit 1
fi
grep -qi numpy log
echo "both: no solution, because of numpy"
pip install --quiet numpy==2.2.6 scipy==1.15.3 pillow==13.0.0 tabulate==0.10.0 tqdm==4.70.1 opencv-python-headless==4.12.0.88 \
    matplotlib==3.10.9 pycocotools==2.0.11
pip install --quiet --no-deps trackeval==1.3.0
cat > try.py <<'PYTHON'
import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity

one = [np.array([0]), np.array([0])]
seen = {
    "num_timesteps": 2,
    "num_gt_ids": 1,
    "num_tracker_ids": 1,
    "num_gt_dets": 2,
    "num_tracker_dets": 2,
    "gt_ids": one,
    "tracker_ids": one,
    "similarity_scores": [np.array([[0.9]]), np.array([[0.8]])],
}
quiet = {"PRINT_CONFIG": False}
hota = float(HOTA().eval_sequence(seen)["HOTA"].mean())
mota, idf1 = CLEAR(quiet).eval_sequence(seen)["MOTA"], Identity(quiet).eval_sequence(seen)["IDF1"]
print("numpy", np.__version__, "HOTA", round(hota, 3), "MOTA", float(mota), "IDF1", float(idf1))
assert np.__version__ == "2.2.6"
assert abs(hota - 0.877) < 5e-4
assert mota == idf1 == 1
PYTHON
env/bin/python try.py
echo "as described: trackeval 1.3.0, label-studio-sdk 2.1.2"
