#!/usr/bin/env bash
# motmetrics 1.4.0 with numpy 2.2.6: reading a file of the MOT challenge and comparing it with its gold raises
# AttributeError, on the sequences that the package itself carries.
#
# The package asks for numpy without an upper bound, so a fresh installation takes numpy 2. `io.loadtxt`, accumulators and
# metrics work; only the distances of boxes, which `utils.compare_to_groundtruth` and `distances.iou_matrix` need, call
# `np.asfarray`, which numpy 2 has removed. So a project that counts matches itself never notices, and the documented way
# fails with the first frame.
#
# Output seen: 359 rows of gold are read, and `module 'numpy' has no attribute 'asfarray'` (numpy's message is longer) is
# raised by the comparison; with numpy 1.26.4 the same lines give MOTA .526.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"  # uv takes overrides from a project that it is called in
install() {  # ENV PACKAGE...: into an environment in the temporary folder, with uv if there is one
    local env="$folder/$1"
    shift
    if command -v uv > /dev/null; then
        uv venv --quiet "$env" && uv pip install --quiet --python "$env/bin/python" "$@"
    else
        python3 -m venv "$env" && "$env/bin/python" -m pip install --quiet "$@"
    fi
}
install two motmetrics==1.4.0 numpy==2.2.6 pandas==2.3.3 scipy==1.15.3
install one motmetrics==1.4.0 numpy==1.26.4 pandas==2.2.3 scipy==1.13.1
cat > "$folder/try.py" <<'PYTHON'
from pathlib import Path

import motmetrics
import numpy

data = Path(motmetrics.__file__).parent / "data" / "TUD-Campus"
gold, found = (motmetrics.io.loadtxt(data / f"{name}.txt", fmt="mot15-2D") for name in ("gt", "test"))
print("numpy", numpy.__version__, "rows of gold", len(gold))
try:
    matches = motmetrics.utils.compare_to_groundtruth(gold, found, "iou", distth=0.5)
except AttributeError as error:
    print("AttributeError:", str(error).partition(" was removed")[0])
    assert "asfarray" in str(error)
    assert numpy.__version__.startswith("2.")
else:
    figures = motmetrics.metrics.create().compute(matches, metrics=["mota"])
    print("MOTA", round(float(figures["mota"].iloc[0]), 3))
    assert numpy.__version__.startswith("1.")
PYTHON
"$folder/two/bin/python" "$folder/try.py"
"$folder/one/bin/python" "$folder/try.py"
echo "as described: motmetrics 1.4.0"
