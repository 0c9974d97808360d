"""Requests are fuzzed on the application that the tests of the service run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "services"))
