"""Makes fo1-tiny: `python -m tools.fo1_tiny RECIPE.toml FOLDER`. Run again it resumes.

Each phase is a process of its own; one that has done all its steps ends at once. The result is the
checkpoint folder of the last phase and the detector's `detector.safetensors`; `bundle.py` stores them.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.fo1_tiny.foundation import write_foundation

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("recipe", type=Path)
parser.add_argument("folder", type=Path)
given = parser.parse_args()

given.folder.mkdir(parents=True, exist_ok=True)
if not (given.folder / "base" / "model.safetensors").is_file():
    write_foundation(given.folder / "base")
for phase in tomllib.loads(given.recipe.read_text(encoding="utf-8"))["phase"]:
    values = [value.format(folder=given.folder) for value in phase["arguments"]]
    print(f"phase {phase['name']}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", f"{__package__}.{phase['module']}", *values], check=True)
