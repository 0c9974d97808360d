"""`fo1 route`: decides again about the labels of a finished dataset, without labelling again."""

from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.run_options import with_run_options
from fo1_data.plurals import counted

_ROUTING = ("max_error", "confidence_level", "review_budget", "audit", "whole_images", "seed")


@with_run_options("calibration", *_ROUTING, "force")
def route(
    dataset: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    out: Annotated[str, typer.Option(help="New folder or URL for the next version.")] = "",
    curve: Annotated[
        bool, typer.Option(help="Only show what each error bound would accept; --out is not needed.")
    ] = False,
    as_json: JsonOption = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Decide again which labels are accepted, audited and reviewed, and write the next version."""
    from pydantic import ValidationError

    from fo1_data.confidence.review_cost import describe_effort
    from fo1_data.confidence.route_dataset import route_dataset
    from fo1_data.dataset.counting import UNREVIEWED_MEANS
    from fo1_data.errors import ConfigError
    from schemas.calibration import RoutingSettings
    from schemas.problems import problem_parts

    options = settings or {}
    try:
        routing_settings = RoutingSettings(**{name: options[name] for name in _ROUTING if name in options})
    except ValidationError as error:
        field, message = problem_parts(error)
        raise ConfigError(f"--{field.partition('.')[0].replace('_', '-')}: {message}") from None
    calibration, force = options.get("calibration"), options.get("force", False)
    if curve:
        _show_curve(dataset, calibration, routing_settings.confidence_level, force, as_json)
        return
    if not out:
        raise ConfigError("--out is missing: name a new folder for the next version")
    manifest, warning = route_dataset(dataset, out, routing_settings, calibration, force)
    if warning is not None:
        say(f"fo1: {warning}")
    counts = manifest.counts
    routing = manifest.routing or {}
    rules = routing.get("rules", {})
    document = {
        "dataset": out,
        "version": manifest.version,
        "counts": counts.model_dump(),
        "routing": routing,
    }
    unreviewed = f", {counts.unreviewed} unreviewed" if counts.unreviewed else ""
    lines = [
        f"{out}: {counts.accepted} accepted, {counts.audit} for audit, {counts.review} for review{unreviewed}"
    ]
    if not routing_settings.decides:
        lines.append("  nothing is decided without --max-error, --review-budget or --audit")
    if counts.unreviewed:
        lines.append(f"  unreviewed: {UNREVIEWED_MEANS}")
    if "effort" in routing:
        lines.append(f"  to people: {describe_effort(routing['effort'])}")
    lines += [f"  {kind}: {rule['told']}" for kind, rule in rules.items()]
    emit(document, as_json, "\n".join(lines))


def _show_curve(
    dataset: str, calibration: str | None, confidence_level: float, force: bool, as_json: bool
) -> None:
    from fo1_data.confidence.routing_curve import routing_curve
    from fo1_data.errors import ConfigError

    if calibration is None:
        raise ConfigError("--curve needs --calibration (made by fo1 calibrate)")
    found = routing_curve(dataset, calibration, confidence_level, force)
    images = counted(found.rows_total, "image")
    lines = [f"{dataset}: {counted(found.labels, 'open label')} in {found.rows_read} of {images}"]
    for point in found.points:
        expected = "" if point.expected_error is None else f", expected error {point.expected_error:.2%}"
        lines.append(f"  error at most {point.max_error:.1%}: accepts {point.accepted_share:.1%}{expected}")
    emit(found.model_dump(mode="json"), as_json, "\n".join(lines))
