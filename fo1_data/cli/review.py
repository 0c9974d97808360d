"""`fo1 review`: push a dataset's doubtful parts to people, pull what they said, see how far it is.

The service does the work (FO1_SERVICE_URL, FO1_API_KEY); these commands ask it.
"""

from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say

app = typer.Typer(
    name="review",
    help="Push a dataset to Label Studio, pull what people corrected.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Folder = Annotated[str, typer.Argument(metavar="DIR", help="A finished dataset: folder, URL, or its id.")]


@app.command()
def push(
    folder: Folder,
    title: Annotated[str | None, typer.Option("--title", help="Of the project in Label Studio.")] = None,
    lane: Annotated[
        list[str] | None, typer.Option("--lane", help="Only this lane: review or audit. Default: both.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the most doubtful N.")] = None,
    annotators: Annotated[int, typer.Option("--annotators", min=1, help="People an image.")] = 1,
    blind: Annotated[
        bool | None,
        typer.Option("--blind/--no-blind", help="Show nobody reasons and scores: the audit cannot be told."),
    ] = None,
    asked_only: Annotated[
        bool, typer.Option("--asked-only", help="Show all boxes, but only the answers that people are asked.")
    ] = False,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Ask the model while people draw boxes or name phrases."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until all is in Label Studio.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout-s", help="How long to wait.")] = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Push what people should look at; run again, it pushes nothing twice."""
    from fo1_data.errors import ConfigError
    from fo1_data.service_client import ServiceClient
    from schemas.corrections import Lane
    from schemas.reviews import ReviewOptions

    wrong = [name for name in lane or [] if name not in list(Lane)]
    if wrong:
        raise ConfigError(f"--lane {wrong[0]}: take review or audit")
    options = ReviewOptions(
        lanes=[Lane(name) for name in lane or Lane],
        limit=limit,
        annotators=annotators,
        blind=blind,
        live=live,
        asked_only=asked_only,
    )
    with ServiceClient() as service:
        review = service.push(folder, title, options)
        if wait:
            review = service.wait(review["id"], timeout_s, _Progress())
    emit(review, as_json, _told(review))


@app.command()
def pull(folder: Folder, as_json: JsonOption = False) -> None:
    """Bring in everything that people did since the last pull."""
    from fo1_data.service_client import ServiceClient

    with ServiceClient() as service:
        review = service.pull(service.find(folder)["id"])
    pulled = review["pulled"]
    news = f"{pulled['created']} new, {pulled['updated']} changed, {pulled['deleted']} deleted annotations"
    emit(review, as_json, f"{news}\n{_told(review)}")


@app.command()
def status(folder: Folder, as_json: JsonOption = False) -> None:
    """How far the review of a dataset is."""
    from fo1_data.service_client import ServiceClient

    with ServiceClient() as service:
        review = service.find(folder)
    emit(review, as_json, _told(review))


class _Progress:
    """Says how far a push is, whenever that has changed."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, review: dict[str, Any]) -> None:
        items = review["items"]
        line = f"{review['state']}: {items.get('sent', 0)} of {items['total']} in Label Studio"
        line += f" ({review['error']})" if review["error"] else ""
        if line != self._last:
            say(line)
            self._last = line


def _told(review: dict[str, Any]) -> str:
    items, corrections = review["items"], review["corrections"]
    lines = [
        f"review       {review['id']} ({review['state']})",
        f"project      {review['project_url'] or 'not made yet'}",
        f"items        {items.get('sent', 0)} of {items['total']} in Label Studio",
        f"reviewed     {review['reviewed']}",
        "corrections  " + (", ".join(f"{n} {action}" for action, n in sorted(corrections.items())) or "none"),
    ]
    if items.get("refused"):
        lines.append(f"refused      {items['refused']} by Label Studio")
    for one in review["set_aside"]:
        lines.append(
            f"set aside    annotation {one['ls_annotation_id']} of {one['annotator']}: {one['reason']}"
        )
    if review["agreement"] is not None:
        lines.append(f"agreement    {review['agreement']:.2f}")
    if review["seconds_per_item"] is not None:
        lines.append(f"seconds      {review['seconds_per_item']:.1f} an annotation")
    if review["error"]:
        lines.append(f"error        {review['error']}")
    return "\n".join(lines)
