"""The recipe of the bundled model runs from its first phase to a checkpoint that loads, two steps a phase."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fo1_data.model.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "tools" / "fo1_tiny" / "recipe.toml"
FEW = {"--steps": "2", "--fit-batches": "1", "--fit-steps": "2"}


def shortened(arguments: list[str]) -> list[str]:
    """The same arguments with few steps; what a phase leaves to its default is untouched."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [FEW.get(before, argument) for before, argument in pairs]


def as_toml(phases: list[dict[str, object]]) -> str:
    lines = []
    for phase in phases:
        lines += ["[[phase]]", f'name = "{phase["name"]}"', f'module = "{phase["module"]}"']
        lines += [f"arguments = {phase['arguments']}"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recipe")
    phases = tomllib.loads(RECIPE.read_text("utf-8"))["phase"]
    short = [phase | {"arguments": shortened(phase["arguments"])} for phase in phases]
    (place / "short.toml").write_text(as_toml(short), encoding="utf-8")
    command = [sys.executable, "-m", "tools.fo1_tiny", place / "short.toml", place / "made"]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return place / "made"


def test_the_last_phase_leaves_a_checkpoint_that_loads(folder: Path) -> None:
    loaded = load_checkpoint(str(folder / "places"))
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) > 2_000_000


def test_the_phase_of_places_scales_the_regions_down(folder: Path) -> None:
    before = load_checkpoint(str(folder / "sight")).model.region_encoder.aux_region_norm.weight
    after = load_checkpoint(str(folder / "places")).model.region_encoder.aux_region_norm.weight
    assert after.abs().mean() < 0.2 * before.abs().mean()
