"""A history of benchmark figures: a JSON Lines file with an entry for each run, and the comparison of runs.

Two runs are comparable if their form ("engine"), their settings and the hardware are equal. The commit and
the version of torch may differ, because a comparison is to show their effect. Ratios are after / before.
The name of a figure tells which way is better: rates (`_per_s`), ratios and shares up, times and bytes down.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fo1_data.dataset.manifest import now
from fo1_data.errors import ConfigError, refuse_full_disk
from schemas.problems import problem_of_written

_CPU_INFO = Path("/proc/cpuinfo")


class Machine(BaseModel):
    """The hardware of a run and its version of torch. `memory_gib` is rounded to whole GiB."""

    model_config = ConfigDict(extra="forbid")

    cpu: str
    cores: int
    memory_gib: int
    gpu: str | None
    torch: str | None


class HistoryEntry(BaseModel):
    """A run of a benchmark. `form`: the benchmark; `settings`: its options; `figures`: its JSON document."""

    model_config = ConfigDict(extra="forbid")

    form: str
    settings: dict[str, Any]
    figures: dict[str, Any]
    at: str
    commit: str | None
    machine: Machine

    def comparable_with(self, other: "HistoryEntry") -> bool:
        """Whether form, settings and hardware are equal."""
        return self._key() == other._key()

    def _key(self) -> tuple[object, ...]:
        return self.form, self.settings, self.machine.model_dump(exclude={"torch"})


class FigureChange(BaseModel):
    """A figure of two runs. `ratio`: after / before, None if before is 0.

    `times_worse`: how many times as slow or as large it became, None if its name tells no direction.
    """

    before: float
    after: float
    ratio: float | None
    times_worse: float | None = None


class Comparison(BaseModel):
    """Two comparable runs and the change of each numeric figure, by its path ("engine.regions_per_s")."""

    before: HistoryEntry
    after: HistoryEntry
    figures: dict[str, FigureChange]


def make_entry(
    form: str, settings: dict[str, Any], figures: dict[str, Any], commit: str | None
) -> HistoryEntry:
    """The entry of a run that has just ended on this machine."""
    machine = this_machine()
    return HistoryEntry(
        form=form, settings=settings, figures=figures, at=now(), commit=commit, machine=machine
    )


def append_entry(path: Path, entry: HistoryEntry) -> None:
    """Append an entry to the file. Raises ConfigError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(entry.model_dump_json() + "\n")
    except OSError as error:
        refuse_full_disk(error)
        raise ConfigError(f"--history {path}: cannot be written: {error}") from None


def load_history(path: Path) -> list[HistoryEntry]:
    """The entries of the file, the oldest first. Raises ConfigError if it is not a history."""
    try:
        lines = path.read_text("utf-8").splitlines()
        return [HistoryEntry.model_validate_json(line) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path} is not a history of benchmarks: {problem_of_written(error)}") from None


def compare(entries: Sequence[HistoryEntry]) -> list[Comparison]:
    """Each last run with the last comparable run before it, in order of the last runs."""
    comparisons: list[Comparison] = []
    newest: list[HistoryEntry] = []
    for entry in reversed(entries):
        after = next((other for other in newest if entry.comparable_with(other)), None)
        if after is None:
            newest.append(entry)
        elif not any(comparison.after is after for comparison in comparisons):
            comparisons.append(Comparison(before=entry, after=after, figures=_changes(entry, after)))
    return sorted(comparisons, key=lambda comparison: comparison.after.at)


def _changes(before: HistoryEntry, after: HistoryEntry) -> dict[str, FigureChange]:
    """The figures that are numbers in both runs."""
    old, new = dict(_numbers(before.figures)), dict(_numbers(after.figures))
    return {name: _change(name, old[name], new[name]) for name in old if name in new}


def _change(name: str, before: float, after: float) -> FigureChange:
    worse: float | None = None
    if before > 0 and after > 0 and (is_better_up := _is_better_up(name)) is not None:
        worse = before / after if is_better_up else after / before
    ratio = after / before if before else None
    return FigureChange(before=before, after=after, ratio=ratio, times_worse=worse)


def _is_better_up(name: str) -> bool | None:
    """Whether more of a figure is better, by the words of its path; None if that is not known."""
    parts = name.split(".")
    if any(part.endswith("_per_s") or part.startswith(("ratio", "share_of")) for part in parts):
        return True
    is_cost = parts[-1] in ("seconds", "overhead") or parts[-1].endswith(("_s", "_bytes", "_mib"))
    return False if is_cost or parts[-1].startswith("us_at_") else None


def _numbers(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def this_machine() -> Machine:
    """The hardware of this process: the cores that it may use, all memory, the first GPU."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(pages * page_bytes / 2**30),
        gpu=_gpu_name(),
        torch=_torch_version(),
    )


def _cpu_model() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _torch_version() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _gpu_name() -> str | None:
    if _torch_version() is None:
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
