"""`fo1 bench size`: what listing, finishing and everything on rows cost, at 1, 4 and 16 times a size.

Each measure prepares its input outside the clock and is timed once, by the processor seconds of this process.
If it grows in proportion, the cost of a unit is the same at every size.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fo1_data.benchmarks.made_rows import (
    gather,
    make_corrections,
    make_gold,
    make_pixels,
    seal,
    write_gold,
    write_shards,
)
from fo1_data.confidence.calibrate_dataset import calibrate_dataset
from fo1_data.confidence.route_dataset import route_dataset
from fo1_data.confidence.stored_signals import StoredSignals
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.evaluation.scores import evaluate
from fo1_data.reports.page import write_report
from fo1_data.runs.plan import plan_run
from fo1_data.runs.progress import ProgressMeter
from fo1_data.training.samples.stream import SampleStream
from schemas.calibration import RoutingSettings
from schemas.jobs import RunConfig
from schemas.shards import FileLimits

SCALES = (1, 4, 16)
_ROWS_A_FILE = 250
_REPORTS = 100
_MILLION = 1_000_000
_ROWS_A_SHARD = 32


@dataclass(frozen=True)
class Input:
    """A size in rows, an empty folder, and a finished dataset of so many rows, which no work changes."""

    rows: int
    folder: Path
    dataset: str

    @property
    def out(self) -> str:
        return str(self.folder / "out")


@dataclass(frozen=True)
class Prepared:
    """What is timed, and the number of units in it."""

    work: Callable[[], object]
    units: int


@dataclass(frozen=True)
class Measure:
    """Something to time: its cost is that of one `unit`, and `most_us` the aim in microseconds."""

    name: str
    unit: str
    most_us: float | None
    prepare: Callable[[Input], Prepared]


def _listing(given: Input) -> Prepared:
    num_uris = 10 * given.rows
    config = _uri_list(given, num_uris)
    return Prepared(lambda: plan_run(config), num_uris)


def _progress(given: Input) -> Prepared:
    meter = ProgressMeter(plan_run(_uri_list(given, given.rows)).shards, [])
    return Prepared(lambda: [meter.snapshot() for _ in range(_REPORTS)], _REPORTS)


def _uri_list(given: Input, num_uris: int) -> RunConfig:
    """The settings of a run over a text list of so many URIs."""
    corpus = given.folder / "uris.txt"
    corpus.write_text("".join(f"s3://bucket/images/{number:09d}.jpg\n" for number in range(num_uris)))
    return RunConfig(corpus=str(corpus), out=given.out)


def _finishing(given: Input) -> Prepared:
    num_shards = max(given.rows // 10, 1)
    write_shards(given.folder, num_shards, rows_a_shard=1)
    return Prepared(lambda: seal(given.folder, num_shards), num_shards)


def _first_sample(given: Input) -> Prepared:
    num_shards = max(given.rows // 10, 1)
    write_shards(given.folder, num_shards, rows_a_shard=1, pixels=make_pixels())
    seal(given.folder, num_shards)
    return Prepared(lambda: next(iter(SampleStream([str(given.folder)]))), 1)


def _gathering(given: Input) -> Prepared:
    write_shards(given.folder, given.rows, _ROWS_A_SHARD)
    return Prepared(lambda: gather(given.folder, given.rows, _ROWS_A_SHARD, FileLimits()), given.rows)


def _merge(given: Input) -> Prepared:
    corrections = list(make_corrections(given.rows, _ROWS_A_FILE))
    return Prepared(lambda: merge_corrections(given.dataset, corrections, given.out), given.rows)


def _evaluate(given: Input) -> Prepared:
    gold = make_gold(given.rows)
    dataset = open_dataset(given.dataset)
    rows, signals = light_rows(dataset, pixels=False), StoredSignals(dataset)
    return Prepared(lambda: evaluate(rows, gold, read_signals=signals), given.rows)


def _calibrate(given: Input) -> Prepared:
    gold = write_gold(given.rows, given.folder)
    return Prepared(lambda: calibrate_dataset(given.dataset, gold), given.rows)


def _with_pixels(work: Callable[[str, str], object]) -> Callable[[Input], Prepared]:
    """Work on a dataset with embedded pixels, given with the place to write to."""

    def prepare(given: Input) -> Prepared:
        folder = given.folder / "with-pixels"
        write_shards(folder, given.rows, _ROWS_A_FILE, pixels=make_pixels())
        seal(folder, given.rows)
        return Prepared(lambda: work(str(folder), given.out), given.rows)

    return prepare


def _export(form: str) -> Callable[[Input], Prepared]:
    return _with_pixels(lambda dataset, out: export_dataset(dataset, form, out))


def _on_rows(work: Callable[[Input], object]) -> Callable[[Input], Prepared]:
    return lambda given: Prepared(lambda: work(given), given.rows)


_ROUTING = RoutingSettings(review_budget=0.1)
MEASURES = (
    Measure("listing", "URI", 15, _listing),
    Measure("progress", "report", None, _progress),
    Measure("finishing", "shard", 300, _finishing),
    Measure("gathering", "row", None, _gathering),
    Measure("first_sample", "start", None, _first_sample),
    Measure("validate", "row", 60, _on_rows(lambda given: validate_dataset(given.dataset))),
    Measure("merge", "row", 150, _merge),
    Measure("report", "row", 75, _on_rows(lambda given: write_report(given.dataset, given.out, 0))),
    Measure("evaluate", "row", None, _evaluate),
    Measure("calibrate", "row", None, _calibrate),
    Measure("route", "row", None, _on_rows(lambda given: route_dataset(given.dataset, given.out, _ROUTING))),
    Measure("export", "row", None, _on_rows(lambda given: export_dataset(given.dataset, "coco", given.out))),
    Measure("messages", "row", None, _export("messages")),
    Measure("yolo", "row", None, _export("yolo")),
    Measure("webdataset", "row", None, _export("webdataset")),
    Measure(
        "publish", "row", None, _with_pixels(lambda dataset, out: publish(dataset, out, only_accepted=True))
    ),
)


def bench_size(rows: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Time all measures at a sixteenth, a quarter and all of `rows`.

    Returns by measure the microseconds of a unit at each size (`us_at_1` to `us_at_16`) and `growth`, the
    last over the one before it: 1 if the cost is linear. `listing_bytes`: what a planned URI keeps in memory.
    `files_of_a_million`: see there.
    """
    with TemporaryDirectory(prefix="fo1-bench-") as scratch:
        sizes = {scale: max(rows * scale // SCALES[-1], 1) for scale in SCALES}
        datasets = {}
        for scale, size in sizes.items():
            report(f"writing a dataset of {size} rows")
            datasets[scale] = Path(scratch) / f"dataset-{scale}"
            write_shards(datasets[scale], size, _ROWS_A_FILE)
            seal(datasets[scale], size)

        def seconds(measure: Measure, scale: int, name: str) -> float:
            folder = Path(scratch) / f"{measure.name}-{name}"
            folder.mkdir()
            prepared = measure.prepare(Input(sizes[scale], folder, str(datasets[scale])))
            started_s = time.process_time()
            prepared.work()
            return (time.process_time() - started_s) / prepared.units

        measures: dict[str, dict[str, float]] = {}
        for measure in MEASURES:
            report(measure.name)
            seconds(measure, SCALES[0], "warm-up")
            costs = {scale: 1e6 * seconds(measure, scale, str(scale)) for scale in SCALES}
            measures[measure.name] = {f"us_at_{scale}": cost for scale, cost in costs.items()}
            measures[measure.name]["growth"] = costs[SCALES[-1]] / costs[SCALES[-2]]
        given = Input(sizes[SCALES[0]], Path(scratch), "")
        return {
            "rows": rows,
            "measures": measures,
            "listing_bytes": _listing_bytes(given),
            "files_of_a_million": files_of_a_million(Path(scratch) / "files", rows),
        }


def files_of_a_million(folder: Path, rows: int) -> int:
    """The data files of a run of a million images, by a run of `rows` in `folder` whose files are smaller.

    The limits of a file, 50,000 rows and 256 MiB of them, are multiplied by `rows` / 1,000,000, so that as
    many files come out. At 16,000 rows a file takes 800, which 25 shards of 32 images fill; other sizes leave
    up to a shard of each file free.
    """
    share, most = rows / _MILLION, FileLimits()
    limits = FileLimits(rows=round(share * most.rows), row_bytes=round(share * most.row_bytes))
    write_shards(folder, rows, _ROWS_A_SHARD)
    gather(folder, rows, _ROWS_A_SHARD, limits)
    seal(folder, rows)
    return len(open_dataset(str(folder)).data_files())


def _listing_bytes(given: Input) -> float:
    """Bytes of memory that the plan of a listing keeps for a URI."""
    prepared = _listing(given)
    tracemalloc.start()
    plan = prepared.work()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del plan
    return kept / prepared.units
