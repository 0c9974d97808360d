"""The `--history` option of the benchmarks, and the text of `fo1 bench --compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.output import emit
from fo1_data.cli.version import checkout_commit

HistoryOption = Annotated[
    Path | None,
    typer.Option("--history", help="Append the figures with machine, commit and time to this file, as JSON."),
]


def emit_figures(
    context: typer.Context, document: dict[str, Any], as_json: bool, text: str, history: Path | None
) -> None:
    """Print the result of the running benchmark, and append it to the history if there is one."""
    if history is not None:
        from fo1_data.benchmarks.history import append_entry, make_entry

        settings = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in context.params.items()
            if name not in ("as_json", "history", "table")
        }
        append_entry(history, make_entry(str(context.info_name), settings, document, checkout_commit()))
    emit(document, as_json, text)


def emit_comparison(history: Path, tolerance: float, as_json: bool) -> bool:
    """Print the last two comparable runs of each form, settings and machine in the file.

    Returns whether a figure is worse by more than the tolerance, a share.
    """
    from fo1_data.benchmarks.history import compare, load_history

    comparisons = compare(load_history(history))
    lines, worse = [], []
    for comparison in comparisons:
        before, after = comparison.before, comparison.after
        commits = f"{before.commit or '?'} ({before.at}) -> {after.commit or '?'} ({after.at})"
        lines.append(f"{after.form} on {after.machine.gpu or after.machine.cpu}: {commits}")
        for name, change in comparison.figures.items():
            ratio = "-" if change.ratio is None else f"{change.ratio:.3f}"
            line = f"{name}: {change.before:g} -> {change.after:g}, ratio {ratio}"
            is_worse = change.times_worse is not None and change.times_worse > 1 + tolerance
            lines.append(f"{'!' if is_worse else ' '} {line}")
            worse += [f"  {after.form} {line}"] if is_worse else []
    if worse:
        lines += [f"worse by more than {tolerance:.0%}:", *worse]
    elif comparisons:
        lines.append(f"nothing is worse by more than {tolerance:.0%}")
    text = "\n".join(lines) or f"{history} has no two comparable runs"
    document = {"comparisons": [comparison.model_dump(mode="json") for comparison in comparisons]}
    emit(document, as_json, text)
    return bool(worse)
