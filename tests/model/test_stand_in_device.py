"""The engine, labelling, detectors and training on a device that is not the CPU, without a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("stand_in_checks.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_operation_mixes_devices_and_a_decoding_step_waits_once() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(CHECKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
