"""A driver of a labelling run with the box labeller, as a process of its own: on Ray or in this process."""

import sys

from box_labeller import FACTORY

from fo1_data.cli.progress_lines import ProgressLines
from fo1_data.config import load_run
from fo1_data.errors import Fo1Error
from fo1_data.runs.in_process import IN_PROCESS, run_in_process


def label(corpus: str, out: str, address: str) -> None:
    """Label `corpus` into `out`; ends this process as `fo1 label` does."""
    settings = {
        "corpus": corpus, "out": out, "shard_size": 4, "actors": "2", "file_rows": 10, "address": address,
        "cpus_per_actor": 0.5, "placement_timeout_s": 60,
    }  # fmt: skip
    if address == IN_PROCESS:
        run = run_in_process
    else:
        from actors.run import run_labelling as run  # it imports Ray
    try:
        with ProgressLines() as lines:
            run(load_run(None, settings), lines, FACTORY)
    except Fo1Error as error:
        print(f"fo1: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    label(*sys.argv[1:])
