"""The recipe of the bundled model runs from its first phase to a checkpoint that loads, with few steps."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fo1_data.model.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "tools" / "fo1_tiny" / "recipe.toml"
# The phases run one after another, each in a process of its own.
pytestmark = pytest.mark.timeout(900)
FEW = {"steps": 2, "fit_batches": 1, "fit_steps": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the recipe with 2 steps per phase."""
    place = tmp_path_factory.mktemp("recipe")
    short = RECIPE.read_text("utf-8")
    for setting, value in FEW.items():
        short = re.sub(rf"^{setting} = .*$", f"{setting} = {value}", short, flags=re.MULTILINE)
    (place / "short.toml").write_text(short, encoding="utf-8")
    command = [sys.executable, "-m", "tools.fo1_tiny", place / "short.toml", place / "made"]
    for phase in ([], ["--phase", "places"]):  # then a phase that is done already, which resumes
        subprocess.run([*command, *phase], check=True, capture_output=True, text=True, cwd=ROOT)
    return place / "made"


def test_the_last_phase_leaves_a_checkpoint_that_loads(folder: Path) -> None:
    loaded = load_checkpoint(str(folder / "places"))
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) > 2_000_000


def test_the_phase_of_places_scales_the_regions_down(folder: Path) -> None:
    before = load_checkpoint(str(folder / "sight")).model.region_encoder.aux_region_norm.weight
    after = load_checkpoint(str(folder / "places")).model.region_encoder.aux_region_norm.weight
    assert after.abs().mean() < 0.2 * before.abs().mean()


def test_a_vision_phase_trains_its_own_tower_only(folder: Path) -> None:
    base, encoder, towers = (
        load_checkpoint(str(folder / name)).model.state_dict() for name in ("base", "encoder", "towers")
    )
    for before, after, tower in ((base, encoder, "vision_tower_aux."), (encoder, towers, "vision_tower.")):
        changed = {name for name in before if not before[name].equal(after[name])}
        assert any(name.startswith(tower) for name in changed)
        assert all(name.startswith((tower, "region_encoder.")) for name in changed)
