"""`fo1 report` of a training run: its curves, figures and settings as one self-contained HTML page."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.reports.html import page_asset, page_environment, page_policy
from fo1_data.reports.line_chart import Series, line_chart
from fo1_data.storage.addresses import base_name, normalise, parent
from fo1_data.storage.store import open_store
from fo1_data.training.best_kept import best_line
from fo1_data.training.layout import APART, BEST, LOSSES, SETTINGS
from fo1_data.training.run_log import RunLog

_SMOOTHED_PARTS = 50


def is_training_run(address: str) -> bool:
    """Whether a local folder is one of `fo1 train`."""
    return "://" not in address and (Path(address) / LOSSES).is_file()


def refuse_part_of_run(address: str) -> None:
    """Raise ConfigError for a folder inside one of `fo1 train`, such as `best`: the curves are the run's."""
    folder = Path(address)
    if "://" in address or not folder.is_dir():
        return
    parent_folder = folder.resolve().parent
    if folder.resolve().name in (BEST, APART) and (parent_folder / LOSSES).is_file():
        raise ConfigError(
            f"{address} is a part of a training run: fo1 report {Path(address).parent} shows it"
        )


def write_training_page(folder: Path, out: str) -> int:
    """Write the page of a run to the path or URL `out`; returns the number of steps it shows.

    Raises CheckpointError if a file of the run is damaged, StorageError if `out` cannot be written.
    """
    log, settings = RunLog(folder / LOSSES).lines(), _document(folder / SETTINGS)
    steps = [line for line in log if "loss" in line]
    measured = [line for line in log if "training" in line]
    script = page_asset("report.js")
    html = (
        page_environment()
        .from_string(page_asset("training.html.j2"))
        .render(
            name=folder.resolve().name,
            settings=settings,
            num_steps=len(steps),
            last=measured[-1] if measured else None,
            best=best_line(folder, measured),
            charts=_charts(steps, measured),
            settings_text=json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False),
            style=Markup(page_asset("report.css")),
            script=Markup(script),
            policy=page_policy(script),
        )
    )
    target = normalise(out)
    open_store(parent(target)).write_bytes(base_name(target), html.encode())
    return len(steps)


def _charts(steps: list[dict[str, Any]], measured: list[dict[str, Any]]) -> list[tuple[str, Markup]]:
    """Titles and charts: the loss, the learning rate, and the accuracy of each kind."""
    losses = [Series("steps, smoothed", _smoothed(_points(steps, "loss")), "smoothed")]
    losses += [
        Series(part, [(line["step"], line[part]["loss"]) for line in measured if part in line], part)
        for part in ("training", "validation")
    ]
    charts = [("Loss", line_chart(losses, "loss", top=_usual_top(losses)))]
    for kind in _kinds(measured):
        series = [_accuracies(measured, part, "accuracy", kind, part) for part in ("training", "validation")]
        series.append(_accuracies(measured, "validation", "guess", kind, "guess"))
        charts.append((f"Exactly right: {kind}", line_chart(series, f"share of {kind} answers", top=1.0)))
    rate = Series("learning rate", _points(steps, "learning_rate"))
    charts.append(("Learning rate", line_chart([rate], "learning rate")))
    return [(title, Markup(chart)) for title, chart in charts]


def _kinds(measured: list[dict[str, Any]]) -> list[str]:
    """The kinds that were measured, those of validation first."""
    parts = [
        line[part]["accuracy"] for part in ("validation", "training") for line in measured if part in line
    ]
    return list(dict.fromkeys(kind for part in parts for kind in part))


def _accuracies(measured: list[dict[str, Any]], part: str, figure: str, kind: str, style: str) -> Series:
    points = [
        (line["step"], line[part][figure][kind])
        for line in measured
        if kind in line.get(part, {}).get(figure, {})
    ]
    return Series("guessing" if figure == "guess" else part, points, style)


def _points(lines: list[dict[str, Any]], figure: str) -> list[tuple[float, float]]:
    return [(line["step"], line[figure]) for line in lines if figure in line]


def _smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal parts of the steps, so that the line shows the course and not the single images."""
    size = max(1, len(points) // _SMOOTHED_PARTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _usual_top(series: list[Series]) -> float | None:
    """The top of the axis of losses: the first ones may be many times the others."""
    values = sorted(value for part in series for _, value in part.points)
    usual = values[int(0.9 * (len(values) - 1))] if values else 0.0
    return 1.5 * usual if usual and values[-1] > 3 * usual else None


def _document(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    return document
