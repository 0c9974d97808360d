"""Faults at random moments of real labelling and review runs, and what they cost: nothing.

Goes on where it was stopped (`--folder` keeps the record). The last line says how many faults of which kind
there were, and what was lost, doubled, changed or not valid; exit code 1 if anything was. The moments are
drawn from the seed; what runs at such a moment is up to the machine.
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from forked import begin_forking
from injectors import Clock
from loops import KINDS, Loop, Parts
from ray_head import RayHead
from record import Record, Segment

from actors.head import LOOPBACK_ONLY

HERE = Path(__file__).resolve().parent
TESTS = [
    HERE,
    HERE.parent / "actors",
    HERE.parent / "services",
    HERE.parent / "services" / "review",
    HERE.parent,
]
IMAGE_S = "0.3"


def main(
    faults: Annotated[int, typer.Option(help="How many in all, those of earlier calls included.")] = 100,
    seed: Annotated[int, typer.Option()] = 0,
    folder: Annotated[Path, typer.Option(help="Keeps the record, and what went wrong.")] = Path("faults"),
    stop_s: Annotated[float | None, typer.Option(help="How long stopped processes stay so.")] = None,
    only: Annotated[str, typer.Option(help="Only loops with this word in their name.")] = "",
    without: Annotated[str, typer.Option(help="No loops with this word.")] = "",
    segments: Annotated[int | None, typer.Option(help="End this call after so many segments.")] = None,
) -> None:
    """Inject faults until there were as many as wanted."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), *map(str, TESTS)]),
        QUICK_IMAGE_S=os.environ.get("QUICK_IMAGE_S", IMAGE_S),
        OMP_NUM_THREADS="1",
        RAY_AUTH_MODE="disabled",
        **LOOPBACK_ONLY,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record = Record(folder)
    clock = Clock(folder / "clock")
    parts = Parts(clock, RayHead(dict(os.environ)), stop_s)
    kinds = [kind for kind in KINDS if only in kind.name and not (without and without in kind.name)]
    begin_forking(clock.environment, sorted({name for kind in kinds for name in kind.modules}))
    last = None if segments is None else len(record.segments) + segments
    try:
        while record.num_injected < faults and len(record.segments) != last:
            number = len(record.segments)
            chance = random.Random(f"{seed}/{number}")
            kind = chance.choices(kinds, [kind.weight for kind in kinds])[0]
            loop = kind.make(parts)
            run_segment(record, Segment(number, kind.name, stop_s=stop_s), loop, chance, folder, faults)
    finally:
        parts.stop()
    print(record.last_line())
    raise typer.Exit(1 if record.has_findings() else 0)


def run_segment(
    record: Record, segment: Segment, loop: Loop, chance: random.Random, folder: Path, faults: int
) -> None:
    """Run one segment, keep what it found, and tell of it; its files stay only where something is wrong."""
    place, started_s = folder / f"segment-{segment.number}", time.monotonic()
    shutil.rmtree(place, ignore_errors=True)
    try:
        loop.run(segment, chance, place, faults - record.num_injected)
    except Exception as error:
        segment.findings.invalid.append(f"{type(error).__name__}: {error}")
    segment.seconds = round(time.monotonic() - started_s, 1)
    record.add(segment)
    told = ", ".join(f"{count} {kind}" for kind, count in segment.injected.items()) or "no fault"
    print(f"{record.num_injected}/{faults} {segment.loop}: {told}; {segment.seconds} s", flush=True)
    if segment.findings:
        print(f"  in {place}: {segment.findings}", flush=True)
    else:
        shutil.rmtree(place, ignore_errors=True)
