"""A driver of a labelling run as a process of its own, to be killed: `fo1 label` with a quick labeller."""

import sys

import typer
from quick_labeller import FACTORY

from actors.run import run_labelling
from fo1_data.cli.progress_lines import ProgressLines
from fo1_data.config import load_run
from fo1_data.errors import Fo1Error
from fo1_data.runs.stopping import Terminated


def main(
    corpus: str,
    out: str,
    model: str = "fo1-tiny",
    seed: int = 0,
    actors: str = "2",
    shard_size: int = 4,
    max_tries: int = 3,
    gpus_per_actor: float | None = None,
    placement_timeout_s: float = 60.0,
) -> None:
    run = load_run(
        None,
        {
            "corpus": corpus, "out": out, "model": model, "seed": seed, "shard_size": shard_size,
            "max_tries": max_tries, "actors": actors, "file_rows": 10, "gpus_per_actor": gpus_per_actor,
            "placement_timeout_s": placement_timeout_s,
        },
    )  # fmt: skip
    try:
        with ProgressLines() as lines:
            manifest = run_labelling(run, lines, FACTORY)
    except Fo1Error as error:
        print(f"fo1: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as stop:
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    print(manifest.counts.model_dump_json())


if __name__ == "__main__":
    typer.run(main)
