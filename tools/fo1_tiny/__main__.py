"""Makes fo1-tiny: `python -m tools.fo1_tiny RECIPE.toml FOLDER`. Run again, it resumes.

Each phase of the recipe runs in a process of its own; a phase that has done all its steps ends at once. The
results in FOLDER are the checkpoint folder of the last phase and `detector.safetensors`.
"""

import argparse
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tools.fo1_tiny.foundation import write_foundation


def run_recipe(recipe: Path, folder: Path) -> None:
    """Write the untrained model, then run the phases of the recipe in order."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "base" / "model.safetensors").is_file():
        write_foundation(folder / "base")
    for name in load_phases(recipe):
        print(f"phase {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "tools.fo1_tiny", str(recipe), str(folder), "--phase", name]
        subprocess.run(command, check=True)


def run_phase(settings: dict[str, Any], name: str, folder: Path) -> None:
    """Run or resume one phase: `train` of its module, with the settings that the module declares."""
    module = import_module(f"tools.fo1_tiny.{settings.pop('module')}")
    config = module.Config.model_validate(settings)
    torch.set_num_threads(config.threads or 1)
    torch.manual_seed(config.seed)
    module.train(folder, name, config)


def load_phases(recipe: Path) -> dict[str, dict[str, Any]]:
    """The phases of a recipe in order: name to module and settings."""
    phases = tomllib.loads(recipe.read_text(encoding="utf-8"))["phase"]
    return {phase.pop("name"): phase for phase in phases}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--phase", help="run only this phase, in this process")
    arguments = parser.parse_args()
    if arguments.phase is None:
        run_recipe(arguments.recipe, arguments.folder)
    else:
        run_phase(load_phases(arguments.recipe)[arguments.phase], arguments.phase, arguments.folder)
