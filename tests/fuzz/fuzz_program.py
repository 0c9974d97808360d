"""A million odd inputs for everything that reads what others wrote.

Every input follows from seed, target and number: `--repeat TARGET:NUMBER` runs one again and shows what it
raised. Goes on where it was stopped (`--folder` keeps the record). A line for each target says how many
inputs there were, how long they took and what became of them; exit code 1 if a property did not hold.
"""

import random
import signal
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer
from fuzz_record import Progress, Record
from fuzz_round import run_round
from fuzz_target import Target
from fuzz_targets import TARGETS

ROUND = 2000
MEMORY = Path("/dev/shm")


def main(
    inputs: Annotated[int, typer.Option(help="How many in all, those of earlier calls included.")] = 10_000,
    seed: Annotated[int, typer.Option()] = 0,
    folder: Annotated[Path, typer.Option(help="Keeps the record.")] = Path("fuzz"),
    only: Annotated[str, typer.Option(help="Only this target: all inputs are its.")] = "",
    repeat: Annotated[str, typer.Option(help="TARGET:NUMBER, of an input to run again.")] = "",
) -> None:
    """Fuzz every target with its share of the inputs."""
    place = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=place) as work:
        if repeat:
            run_again(*repeat.split(":"), seed, Path(work))
            return
        folder.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        record = Record(folder, seed)
        chosen = [target for target in TARGETS if only in ("", target.name)]
        shares = sum(target.share for target in chosen)
        wanted = {target: round(inputs * target.share / shares) for target in chosen}
        while left := [target for target in chosen if record.progress(target.name).num < wanted[target]]:
            target = min(left, key=lambda target: record.progress(target.name).num / wanted[target])
            progress = record.progress(target.name)
            run_round(target, seed, min(ROUND, wanted[target] - progress.num), progress, Path(work))
            record.write()
            print(progress.line(target.name), flush=True)
        raise typer.Exit(int(tell(record.targets, seed)))


def tell(targets: dict[str, Progress], seed: int) -> bool:
    """Print the lines of all targets and what was found; return whether anything was."""
    for name, progress in targets.items():
        for what, (number, times, words) in progress.findings.items():
            print(
                f"{name}: {what}, {times} times, first at --seed {seed} --repeat {name}:{number}: {words!a}"
            )
    print(f"{sum(progress.num for progress in targets.values())} inputs")
    for name, progress in targets.items():
        print(progress.line(name))
    return any(progress.findings for progress in targets.values())


def run_again(name: str, number: str, seed: int, work: Path) -> None:
    """Run one input and show what it raises."""
    target = next(target for target in TARGETS if target.name == name)
    with target.begin(work) as run:
        try:
            print(run(chance_of(seed, target, int(number))))
        except Exception:
            traceback.print_exc()
            raise typer.Exit(1) from None


def chance_of(seed: int, target: Target, number: int) -> random.Random:
    """What an input follows from."""
    return random.Random(f"{seed}/{target.name}/{number}")
