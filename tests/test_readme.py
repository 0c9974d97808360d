"""The README is true to the letter: its commands run, its files exist, its options are known."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from actors.cluster import ray_for
from schemas.jobs import RunConfig

ROOT = Path(__file__).resolve().parents[1]
NEEDS_SERVICE = re.compile(r"^fo1 review |--corrections service")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_make_targets_exist() -> None:
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert {"demo", "test", "setup"} <= named <= _targets()


def test_every_option_named_in_prose_exists() -> None:
    known = subprocess.run(
        [sys.executable, "-m", "fo1_data.cli.main", "label", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    ).stdout
    for option in re.findall(r"`(--[a-z-]+)[` ]", README):
        assert option in known, option


@pytest.fixture
def ray_address() -> Iterator[str]:
    """A Ray for all commands: that each starts its own is tested beside the commands."""
    with ray_for(RunConfig(corpus="-", out="-", actors="2")):
        yield ray.get_runtime_context().gcs_address


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_commands_run_as_written(tmp_path: Path, ray_address: str) -> None:
    """What `make demo` makes, then every `fo1` line of the README in order, on one Ray."""
    fo1 = [sys.executable, "-m", "fo1_data.cli.main"]
    env = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "RAY_ADDRESS": ray_address}

    def run(arguments: list[str]) -> None:
        done = subprocess.run([*fo1, *arguments], cwd=tmp_path, capture_output=True, text=True, env=env)
        assert done.returncode == 0, f"fo1 {shlex.join(arguments)}\n{done.stderr[-2000:]}"

    run(["scenes", "--count", "10", "--seed", "70000", "--out", "demo/corpus"])
    # What needs the service and Label Studio runs against real ones in tests/services.
    commands = [line for line in _shell_lines() if line.startswith("fo1 ") and not NEEDS_SERVICE.search(line)]
    assert len(commands) >= 14
    for command in commands:
        run(shlex.split(command)[1:])

    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    script = code + "\nassert rows[0]['image'].size and rows[0]['regions']"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=env)
