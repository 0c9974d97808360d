"""Requests and pulls are fuzzed on what the tests of the service and of reviews run."""

import sys
from pathlib import Path

_SERVICES = Path(__file__).resolve().parents[1] / "services"
sys.path += [str(_SERVICES), str(_SERVICES / "review")]
