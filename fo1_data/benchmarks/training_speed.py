"""What an image costs in training, in builds side by side: first and later passes apart, losses compared.

    python -m fo1_data.benchmarks.training_speed CORPUS TREE... [--images 32] [--stages 1,2]

CORPUS is a folder with an `annotations.jsonl`, of which the first images train. Each TREE is a folder with
the source of a build, such as `git worktree add --detach old COMMIT` makes; the first one is compared with.
`fo1 train` makes three passes in each of them, on one thread, with a cache folder of its own that is empty
before. The processor seconds between the ends of its steps are what an image costs without start and saving;
the first step counts as start. Nothing is measured or validated on the way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH_IMAGES = 4
PASSES = 3
# Settings of builds that measure on the way; others do not know them.
_MEASURE_NOTHING = {"validation_share": 0.0, "measured_images": 0}
_SETTINGS = {"batch_images": BATCH_IMAGES, "threads": 1, "learning_rate": 2e-4, "save_every": 1_000_000}


@dataclass(frozen=True)
class TrainingRun:
    """Of each step its loss and the processor seconds of the process at its end, and the largest memory."""

    losses: list[float]
    cpu_s: list[float]
    peak_mib: int

    def cost_s(self, first_step: int, last_step: int) -> float:
        """Processor seconds an image of the steps after `first_step`, of 1 and up, to `last_step`."""
        seconds = self.cpu_s[last_step - 1] - self.cpu_s[first_step - 1]
        return seconds / (BATCH_IMAGES * (last_step - first_step))


def run_training(tree: Path, corpus: Path, stage: int, steps: int, folder: Path) -> TrainingRun:
    """`fo1 train` of the build in `tree`, in a process of its own, in the empty `folder`."""
    settings = dict(_SETTINGS)
    names = "from fo1_data.training.settings import TrainConfig; print(*TrainConfig.model_fields)"
    known = _python(tree, folder, "-c", names).split()
    settings |= {name: value for name, value in _MEASURE_NOTHING.items() if name in known}
    config = folder / "train.toml"
    config.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    options = ["--stage", str(stage), "--config", str(config), "--steps", str(steps)]
    out = folder / "run"
    _python(tree, folder, "-c", _RUN, "train", str(corpus.resolve()), *options, "--out", str(out))
    lines = (out / "losses.jsonl").read_text("utf-8").splitlines()
    told = json.loads((folder / "told.json").read_text("utf-8"))
    return TrainingRun([json.loads(line)["loss"] for line in lines], told["cpu_s"], told["peak_mib"])


# The command line, with a clock behind each step; every build has this class.
_RUN = """
import atexit, json, resource, sys, time
from fo1_data.cli.main import main
from fo1_data.training.trainer import Trainer
step, cpu_s = Trainer.step, []
def timed(*words, **named):
    loss = step(*words, **named)
    cpu_s.append(time.process_time())
    return loss
Trainer.step = timed
def tell():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    json.dump({"cpu_s": cpu_s, "peak_mib": peak}, open("told.json", "w"))
atexit.register(tell)
sys.argv[0] = "fo1"
main()
"""


def _python(tree: Path, folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree.resolve()),
        "OMP_NUM_THREADS": "1",
        "FO1_CACHE_DIR": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, cwd=folder, check=False
    )
    if done.returncode:
        sys.exit(f"{tree}: {done.stderr.strip()}")
    return done.stdout


def take_first(corpus: Path, num_images: int, folder: Path) -> Path:
    """A corpus of the first images of another that have boxes.

    A box without a caption gets its class as one, and an image without phrases each class as a phrase: what
    builds make of bare classes differs, and they are to ask the same.
    """
    lines = (corpus / "annotations.jsonl").read_text("utf-8").splitlines()
    entries = [entry for line in lines if (entry := json.loads(line)).get("regions")][:num_images]
    for entry in entries:
        entry["image"] = str((corpus / entry["image"]).resolve())
        _say_names(entry)
    part = folder / "corpus"
    part.mkdir()
    (part / "annotations.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return part


def _say_names(entry: dict[str, Any]) -> None:
    regions = entry["regions"]
    for region in regions:
        region["caption"] = region.get("caption") or region.get("label")
    if not entry.get("phrases"):
        names = dict.fromkeys(region["caption"] for region in regions if region["caption"])
        entry["phrases"] = [
            {"text": name, "region_indices": [i for i, r in enumerate(regions) if r["caption"] == name]}
            for name in names
        ]


def measure(trees: list[Path], corpus: Path, num_images: int, stage: int) -> None:
    """Print what an image costs in each build."""
    steps_a_pass = num_images // BATCH_IMAGES
    baseline: TrainingRun | None = None
    for tree in trees:
        with tempfile.TemporaryDirectory() as folder:
            run = run_training(tree, corpus, stage, PASSES * steps_a_pass, Path(folder))
        baseline = baseline or run
        parts = {"first pass": (1, steps_a_pass), "later passes": (steps_a_pass, PASSES * steps_a_pass)}
        cells = []
        for name, steps in parts.items():
            cost, base = run.cost_s(*steps), baseline.cost_s(*steps)
            cells.append(f"{name} {1000 * cost:.0f} ms an image ({base / cost:.2f} times as fast)")
        largest = max(abs(a - b) for a, b in zip(baseline.losses, run.losses, strict=True))
        print(f"stage {stage}, {tree}: {', '.join(cells)}; {run.peak_mib} MiB; "
              f"losses differ by at most {largest:.1e}", flush=True)  # fmt: skip


def main() -> None:
    """Measure the builds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("trees", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--stages", default="1,2")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = take_first(arguments.corpus, arguments.images, Path(folder))
        for stage in map(int, arguments.stages.split(",")):
            measure(arguments.trees, corpus, arguments.images, stage)


if __name__ == "__main__":
    main()
