"""`fo1 review`: pushes doubtful parts of a dataset to reviewers, pulls their annotations, shows the state.

The service at FO1_SERVICE_URL does the work; these commands call it with the key FO1_API_KEY.
"""

import math
from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.plurals import counted
from schemas.reviews import AsideReason

app = typer.Typer(
    name="review",
    help="Push a dataset to Label Studio, and pull the corrections.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
REASONS = [reason.value for reason in AsideReason if reason is not AsideReason.UNREADABLE]
OfTracks = Annotated[
    bool, typer.Option("--tracks", help="The newest review of the tracks of videos, not that of the images.")
]
Folder = Annotated[str, typer.Argument(metavar="DIR", help="A finished dataset: its folder, URL or id.")]


@app.command()
def push(
    folder: Folder,
    title: Annotated[
        str | None, typer.Option("--title", help="Title of the project in Label Studio.")
    ] = None,
    lane: Annotated[
        list[str] | None,
        typer.Option("--lane", help="Push only this lane: review or audit. May be repeated. Default: both."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Push only the N most doubtful images. Default: all.")
    ] = None,
    annotators: Annotated[
        int, typer.Option("--annotators", min=1, help="Number of reviewers of each image.")
    ] = 1,
    blind: Annotated[
        bool | None,
        typer.Option(
            "--blind/--no-blind",
            help="Hide reasons and scores from reviewers, so that audited images look like the others.",
        ),
    ] = None,
    asked_only: Annotated[
        bool,
        typer.Option("--asked-only", help="Show all boxes, but only the answers that are to be reviewed."),
    ] = False,
    live: Annotated[
        bool | None,
        typer.Option("--live/--no-live", help="Ask the model while reviewers draw boxes or name phrases."),
    ] = None,
    honeypots: Annotated[
        float | None,
        typer.Option(
            "--honeypots",
            min=0,
            max=0.5,
            help="Share of tasks whose answer is known, mixed in unseen to measure reviewers (blind).",
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option("--gold", help="Gold for honeypots. Default: what people corrected in DIR before."),
    ] = None,
    hold_below: Annotated[
        float | None,
        typer.Option(
            "--hold-below",
            min=0.01,
            max=0.99,
            help="Ask a second reader instead of taking the corrections of annotators whose accuracy on "
            "honeypots is surely below this.",
        ),
    ] = None,
    tracks: Annotated[
        bool, typer.Option("--tracks", help="Review the tracks of videos, in a project of their own.")
    ] = False,
    masks: Annotated[
        bool, typer.Option("--masks", help="Show regions that have a mask as it, to be painted over.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until everything is in Label Studio.")
    ] = True,
    timeout_s: Annotated[float, typer.Option("--timeout-s", help="How long to wait, in seconds.")] = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Push images to review. The same command again pushes nothing twice."""
    from fo1_data.errors import ConfigError
    from fo1_data.service_client import ServiceClient
    from schemas.corrections import Lane
    from schemas.reviews import ReviewOptions

    unknown = [name for name in lane or [] if name not in list(Lane)]
    if unknown:
        raise ConfigError(f"--lane {unknown[0]}: must be review or audit")
    if tracks and (live or honeypots or masks):
        raise ConfigError("--tracks: a review of tracks cannot be live or have honeypots or masks")
    if honeypots and blind is False:
        raise ConfigError("--honeypots needs a blind review: leave --no-blind out")
    options = ReviewOptions(
        lanes=[Lane(name) for name in lane or Lane],
        limit=limit,
        annotators=annotators,
        blind=blind,
        live=live,
        asked_only=asked_only,
        honeypots=honeypots,
        honeypot_gold=gold,
        hold_below=hold_below,
        tracks=tracks,
        masks=masks,
    )
    with ServiceClient() as service:
        review = service.push(folder, title, options)
        if wait:
            review = service.wait(review["id"], timeout_s, _Progress())
    review["phrases_not_asked"] = _phrases_not_asked(folder)
    emit(review, as_json, review_text(review))


@app.command()
def pull(folder: Folder, tracks: OfTracks = False, as_json: JsonOption = False) -> None:
    """Pull all annotations since the last pull."""
    from fo1_data.service_client import ServiceClient

    with ServiceClient() as service:
        review = service.pull(service.find(folder, tracks=tracks)["id"])
    emit(review, as_json, f"{pulled_text(review['pulled'])}\n{review_text(review)}")


@app.command()
def status(folder: Folder, tracks: OfTracks = False, as_json: JsonOption = False) -> None:
    """Show how far the review of a dataset is."""
    from fo1_data.service_client import ServiceClient

    with ServiceClient() as service:
        review = service.find(folder, tracks=tracks)
    emit(review, as_json, review_text(review))


@app.command()
def take_in(
    folder: Folder,
    annotation: Annotated[
        list[int] | None,
        typer.Option("--annotation", min=1, help="An annotation's id in Label Studio. May be repeated."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="All set aside for this reason: " + ", ".join(REASONS) + "."),
    ] = None,
    tracks: OfTracks = False,
    as_json: JsonOption = False,
) -> None:
    """Believe annotations that were set aside, after a look at them in Label Studio."""
    from fo1_data.errors import UsageError
    from fo1_data.service_client import ServiceClient

    if bool(annotation) == bool(reason):
        raise UsageError("fo1 review take-in: give --annotation or --reason")
    if reason is not None and reason not in REASONS:
        raise UsageError(f"--reason {reason}: must be one of {', '.join(REASONS)}")
    with ServiceClient() as service:
        review_id = service.find(folder, tracks=tracks)["id"]
        review = service.take_in(review_id, annotation, AsideReason(reason) if reason else None)
    emit(review, as_json, f"{review['taken_in']} annotations taken in\n{review_text(review)}")


def _phrases_not_asked(folder: str) -> int | None:
    """How many phrases name more boxes than an LsTask shows; None if the dataset cannot be read from here."""
    from fo1_data.dataset.crowded_phrases import num_crowded_phrases
    from fo1_data.errors import Fo1Error
    from services.review.outbox.parts import MOST_REGIONS

    try:
        return num_crowded_phrases(folder, MOST_REGIONS)
    except (Fo1Error, OSError):
        return None


class _Progress:
    """Prints how far a push is, whenever that changes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, review: dict[str, Any]) -> None:
        items = review["items"]
        line = f"{review['state']}"
        if items["total"]:
            line += f": {items.get('sent', 0)} of {items['total']} in Label Studio"
        line += f" ({review['error']})" if review["error"] else ""
        if line != self._last:
            say(line)
            self._last = line


def pulled_text(pulled: dict[str, int]) -> str:
    """What a pull brought. Webhooks bring most of it at once, so that a pull may find nothing."""
    if not (pulled["created"] or pulled["updated"] or pulled["deleted"]):
        return "nothing new since the last pull or webhook"
    return f"{pulled['created']} new, {pulled['updated']} changed, {pulled['deleted']} deleted annotations"


def review_text(review: dict[str, Any]) -> str:
    """A review as lines for people."""
    items, corrections = review["items"], review["corrections"]
    lines = [
        f"review       {review['id']} ({review['state']})",
        f"project      {review['project_url'] or 'not made yet'}",
        f"items        {items.get('sent', 0)} of {items['total']} in Label Studio",
        f"reviewed     {review['reviewed']}",
        "corrections  " + (", ".join(f"{n} {action}" for action, n in sorted(corrections.items())) or "none"),
    ]
    if effort := review.get("effort"):
        lines.insert(3, f"effort       {_effort_text(effort, 'video' if review['tracks'] else 'image')}")
    if not_asked := review.get("phrases_not_asked"):
        why = "too many boxes for one task; they keep their decisions"
        lines.append(f"not asked    {counted(not_asked, 'phrase')}: {why}")
    if videos := review.get("videos"):
        lines.append(f"videos       {_videos_text(videos)}")
    if items.get("refused"):
        lines.append(f"refused      {items['refused']} by Label Studio")
    if review["changed_fields"]:
        lines.append(f"fields       changed in the project's settings: {', '.join(review['changed_fields'])}")
    lines += _aside_lines(review)
    for control, number in review["ignored"].items():
        lines.append(f"not read     {control}, an added control, in {counted(number, 'annotation')}")
    if review["honeypots"]:
        lines.append(f"honeypots    {counted(review['honeypots'], 'task')} whose answer is known")
    lines += [_annotator_text(figures) for figures in review["annotators"]]
    if review["held_back"]:
        images = counted(review["held_back"], "image waits", "images wait")
        lines.append(f"held back    {images} for a second reader")
    if review["agreement"] is not None:
        lines.append(f"agreement    {review['agreement']:.2f}")
    if review["seconds_per_item"] is not None:
        lines.append(f"seconds      {review['seconds_per_item']:.1f} an annotation")
    if review["error"]:
        lines.append(f"error        {review['error']}")
    return "\n".join(lines)


def _effort_text(effort: dict[str, Any], of: str) -> str:
    people = f", {effort['annotators']} people each" if effort["annotators"] > 1 else ""
    items, labels = counted(effort["images"], of), counted(effort["labels"], "label")
    return f"{items} with {labels}{people}: about {counted(math.ceil(effort['minutes']), 'minute')} in all"


def _videos_text(videos: dict[str, Any]) -> str:
    failed = f", {videos['failed']} cannot be shown: see the service's log" if videos["failed"] else ""
    return f"{videos['ready']} of {videos['total']} ready to play{failed}"


def _aside_lines(review: dict[str, Any]) -> list[str]:
    """Return the annotations that are set aside, with the reason and what they would do."""
    states = review["annotations"]
    number = states.get("set_aside", 0) + states.get("unreadable", 0)
    lines = []
    for annotation in review["set_aside"]:
        effects = ", ".join(f"{count} {action}" for action, count in annotation["effects"].items())
        taken_in = f" (taken in: {effects})" if effects else ""
        lines.append(
            f"set aside    annotation {annotation['ls_annotation_id']} of {annotation['annotator']}: "
            f"{annotation['reason']}{taken_in}"
        )
    if number > len(lines):
        lines.append(f"             and {number - len(lines)} more")
    if states.get("set_aside"):
        lines.append("             take in what is right: fo1 review take-in DIR --annotation ID")
    return lines


def _annotator_text(figures: dict[str, Any]) -> str:
    held = ": corrections held back" if figures["held"] else ""
    right = f"{figures['right']} of {figures['answers']} known answers right"
    interval = f"{figures['accuracy']:.0%} ({figures['low']:.0%} to {figures['high']:.0%})"
    return f"accuracy     {figures['annotator']}: {right}, {interval}{held}"
