"""Disturb labelling runs on a cluster of several hosts, and compare each with an undisturbed one.

    PYTHONPATH=. .venv/bin/python tests/hosts/run_scenarios.py [NAMES] [--images N] [--image-s S]

Prints a table, and with --said what each run told a person. Exit code 1 if any rows differ. It takes two to
four minutes a scenario. With --bundled the program's own model labels scenes. --keep FOLDER leaves the hosts'
disks there, with Ray's logs. `hosts` says what it needs of the machine.
"""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1] / "actors"))

import typer
from hosts import Network
from ray_hosts import RayHosts, StoreHost
from scenarios import SCENARIOS, Scenario
from stage import WORKERS, Outcome, Stage


def main(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    images: int = 240,
    image_s: float = 0.5,
    said: bool = False,
    json_file: Path | None = None,
    network: int = 0,
    bundled: bool = False,
    keep: Path | None = None,
) -> None:
    if unknown := set(names or ()) - {scenario.name for scenario in SCENARIOS}:
        raise typer.BadParameter(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name in names]
    outcomes: list[Outcome] = []
    for _, group in groupby(chosen, key=lambda scenario: scenario.state):
        outcomes += _run(list(group), images, image_s, said, network, bundled, keep)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    failed = [outcome.name for outcome in outcomes if not outcome.is_equal or outcome.problems]
    if failed:
        print(f"other rows than the undisturbed run's: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(
    scenarios: list[Scenario],
    images: int,
    image_s: float,
    said: bool,
    number: int,
    bundled: bool,
    keep: Path | None,
) -> list[Outcome]:
    outcomes = []
    with (
        _disks(keep) as disks,
        Network(Path(disks), number) as network,
    ):
        store = StoreHost(network)
        ray = RayHosts(network, store, scenarios[0].state, image_s)
        stage = Stage(network, store, ray, images, bundled)
        ray.start_head()
        ray.start_workers(*WORKERS)
        reference = [] if scenarios[0].name == "undisturbed" else [SCENARIOS[0]]
        for scenario in [*reference, *scenarios]:
            scenario.act(stage)
            outcome = stage.finish()
            outcomes.append(outcome)
            _show(scenario, outcome, said)
            if scenario.repair:
                network.host(scenario.repair).kill()
                ray.start_workers(scenario.repair)
    return outcomes


def _disks(keep: Path | None) -> AbstractContextManager[str]:
    """A folder for the disks of the hosts."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return nullcontext(mkdtemp(prefix="fo1-hosts-", dir=keep))
    return TemporaryDirectory(prefix="fo1-hosts-", dir="/var/tmp")


def _show(scenario: Scenario, outcome: Outcome, said: bool) -> None:
    verdict = "rows equal" if outcome.is_equal else "ROWS DIFFER"
    codes = ", ".join(map(str, outcome.exit_codes))
    print(
        f"| {scenario.text} | {outcome.took_s:g} s | {outcome.left_s:g} s | {codes} | {verdict} |", flush=True
    )
    for problem in outcome.problems:
        print(f"  {problem}")
    for line in outcome.said if said else ():
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    typer.run(main)
