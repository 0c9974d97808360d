"""Every selection with every seed, some at a time: the runs that are compared. Run again it goes on.

    .venv/bin/python examples/loop/arms.py CORPUS OUT [--seeds 0,1,2] [--jobs 2] [options of loop.py]

Options that this program does not know are `loop.py`'s. One run with the selection `routing`, that of the
first seed, is reviewed in the real Label Studio where --label-studio is given.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOOP = Path(__file__).with_name("loop.py")
SELECTIONS = ("routing", "random", "least-confident")


def run(corpus: Path, out: Path, selection: str, seed: int, reviewer: str, more: Sequence[str]) -> int:
    """One run in a process of its own, its words in a file; its exit code."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(LOOP), str(corpus), str(out), "--selection", selection]
    command += ["--seed", str(seed), "--reviewer", reviewer, *more]
    with (out / f"{seed}-{selection}-{reviewer}.log").open("a") as log:
        return subprocess.run(command, stderr=log, stdout=log, check=False).returncode


def main() -> None:
    """Run all; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(description="All runs of the loop that are compared.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--label-studio", action="store_true")
    given, more = parser.parse_known_args()
    seeds = [int(one) for one in given.seeds.split(",")]
    failed = []
    with ThreadPoolExecutor(given.jobs) as pool:
        running = {}
        for selection in SELECTIONS:
            for seed in seeds:
                real = given.label_studio and seed == seeds[0] and selection == "routing"
                reviewer = "label-studio" if real else "file"
                name = f"seed {seed}, {selection}, {reviewer}"
                running[name] = pool.submit(run, given.corpus, given.out, selection, seed, reviewer, more)
        for name, one in running.items():
            if one.result():
                failed.append(name)
            print(f"{name}: {'failed' if one.result() else 'done'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
