"""`fo1 route`: decides again on a finished dataset, without labelling again."""

from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit, say


def route(
    dataset: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    out: Annotated[str, typer.Option(help="New folder or URL for the next version.")],
    calibration: Annotated[str | None, typer.Option(help="File of fo1 calibrate.")] = None,
    max_error: Annotated[
        float | None, typer.Option(help="Highest share of wrong labels among the accepted ones.")
    ] = None,
    confidence_level: Annotated[float, typer.Option(help="How sure max-error is to hold.")] = 0.9,
    review_budget: Annotated[
        float | None, typer.Option(help="Labels people can review: a number, or a share below 1.")
    ] = None,
    audit: Annotated[float, typer.Option(help="Share of accepted labels drawn for a blind audit.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Use a calibration of another model, with a warning.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Decide again which labels are accepted, audited and reviewed; writes the next version."""
    from pydantic import ValidationError

    from fo1_data.confidence.route_dataset import route_dataset
    from fo1_data.errors import ConfigError
    from schemas.calibration import RoutingSettings

    try:
        settings = RoutingSettings(
            max_error=max_error,
            confidence_level=confidence_level,
            review_budget=review_budget,
            audit=audit,
            seed=seed,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"--{name}: {first['msg']}") from None
    manifest, warning = route_dataset(dataset, out, settings, calibration, force)
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
    lines = [f"{out}: {counts.accepted} accepted, {counts.audit} for audit, {counts.review} for review"]
    lines += [f"  {kind}: {rule['told']}" for kind, rule in rules.items()]
    emit(document, as_json, "\n".join(lines))
