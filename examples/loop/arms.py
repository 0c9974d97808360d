"""The arms of the comparison: a run of the loop for every selection and seed, several in parallel.

    .venv/bin/python examples/loop/arms.py CORPUS OUT [--seeds 0,1,2] [--jobs 2] [options of loop.py]

Other options are passed to `loop.py`. With --label-studio, the run of the first seed with the selection
`routing` is reviewed in a real Label Studio. A second call continues the runs.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOOP = Path(__file__).with_name("loop.py")
SELECTIONS = ("routing", "random", "least-confident")


def run(corpus: Path, out: Path, selection: str, seed: int, reviewer: str, options: Sequence[str]) -> int:
    """Runs the loop in a process of its own, with its output in a log file; returns its exit code."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(LOOP), str(corpus), str(out), "--selection", selection]
    command += ["--seed", str(seed), "--reviewer", reviewer, *options]
    with (out / f"{seed}-{selection}-{reviewer}.log").open("a") as log:
        return subprocess.run(command, stderr=log, stdout=log, check=False).returncode


def main() -> None:
    """Run all arms. The exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description="All runs of the loop that are compared.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--label-studio", action="store_true")
    arguments, options = parser.parse_known_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        running = {}
        for selection in SELECTIONS:
            for seed in seeds:
                real = arguments.label_studio and seed == seeds[0] and selection == "routing"
                reviewer = "label-studio" if real else "file"
                name = f"seed {seed}, {selection}, {reviewer}"
                arm = (arguments.corpus, arguments.out, selection, seed, reviewer, options)
                running[name] = pool.submit(run, *arm)
        for name, exit_code in running.items():
            print(f"{name}: {'failed' if exit_code.result() else 'done'}", flush=True)
    sys.exit(1 if any(exit_code.result() for exit_code in running.values()) else 0)


if __name__ == "__main__":
    main()
