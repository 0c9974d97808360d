"""A command of `fo1` as a process that begins with all imported that it may need."""

import sys

PRELOADED = [
    "fo1_data.confidence.calibration",
    "fo1_data.confidence.route_dataset",
    "fo1_data.dataset.versions.merge",
    "fo1_data.labelling.image_labeller",
    "fo1_data.runs.in_process",
    "fo1_data.training.run",
]


def run_command(*arguments: str) -> None:
    """Run `fo1 ARGUMENTS`; ends this process as the command does."""
    from fo1_data.cli.main import main  # in the process that runs it

    sys.argv = ["fo1", *arguments]
    main()
