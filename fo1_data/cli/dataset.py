"""`fo1 dataset`: look at, check, merge, publish, export, compare, trace datasets, take an image out."""

from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say

app = typer.Typer(
    name="dataset",
    help="Look at, check, merge, publish, export and compare datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")]
Out = Annotated[str, typer.Option("--out", help="New folder or URL to write to.")]


@app.command()
def info(folder: Folder, as_json: JsonOption = False) -> None:
    """What a dataset holds and where it comes from."""
    from fo1_data.dataset.summary import summarise

    emit(summarise(folder), as_json)


@app.command()
def validate(folder: Folder, as_json: JsonOption = False) -> None:
    """Check every file against the manifest and every row for sense; exit code 1 where something is wrong."""
    from fo1_data.dataset.validate import validate_dataset

    problems = validate_dataset(folder)
    text = "\n".join(problems) if problems else f"{folder}: nothing wrong"
    emit({"ok": not problems, "problems": problems}, as_json, text)
    if problems:
        raise typer.Exit(1)


@app.command()
def merge(
    folder: Folder,
    out: Out,
    corrections: Annotated[
        str,
        typer.Option(
            "--corrections",
            metavar="FILE",
            help="JSON Lines of corrections; service: what the newest review of DIR at FO1_SERVICE_URL says; "
            "review:ID; or a URL.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Make the next version, with what people have corrected; twice or in parts gives the same rows."""
    from fo1_data.dataset.corrections.sources import read_corrections
    from fo1_data.dataset.versions.merge import merge_corrections

    source = _newest_review(folder) if corrections == "service" else corrections
    report = merge_corrections(folder, read_corrections(source), out)
    manifest = report.manifest
    document = {
        "dataset": out,
        "version": manifest.version,
        "parent": manifest.parent,
        "merged": report.merged,
        "counts": manifest.counts.model_dump(),
    }
    emit(document, as_json)


def _newest_review(folder: str) -> str:
    from fo1_data.service_client import ServiceClient

    with ServiceClient() as service:
        return f"review:{service.find(folder)['id']}"


@app.command()
def lineage(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A dataset, or a trained checkpoint.")],
    images: Annotated[bool, typer.Option("--images", help="Name every source image.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Where a checkpoint or dataset comes from: every version it was made of, back to the source images."""
    from fo1_data.dataset.versions.lineage import trace

    emit(trace(place, with_images=images), as_json)


@app.command()
def publish(
    folder: Folder,
    out: Out,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="accepted", help="Keep what was accepted, and nothing else."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the self-contained training set: every image's bytes in its row."""
    from fo1_data.dataset.versions.publish import publish as publish_dataset
    from fo1_data.errors import ConfigError

    if only not in (None, "accepted"):
        raise ConfigError(f"--only {only}: the one thing it can say is `accepted`")
    manifest = publish_dataset(folder, out, only_accepted=only is not None)
    emit({"dataset": out, "counts": manifest.counts.model_dump()}, as_json)


@app.command()
def export(
    folder: Folder,
    out: Out,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="coco, messages, preferences (what people changed), webdataset or yolo."
        ),
    ],
    profile: Annotated[
        str | None, typer.Option(help="Whom messages are for: trl, ms-swift or llama-factory.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset in a form that other tools read."""
    from fo1_data.dataset.exports.export import export_dataset

    emit({"out": out, "format": form, **export_dataset(folder, form, out, profile)}, as_json)


@app.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A finished dataset.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets image by image (provenance aside, scores within 1e-4)."""
    from fo1_data.dataset.versions.compare import compare_datasets

    found = compare_datasets(one, other)
    document: dict[str, Any] = {
        "equal": found.equal,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "changed": [
            {"image_id": image_id, "columns": names, "regions": found.regions.get(image_id, {})}
            for image_id, names in found.changed.items()
        ],
        "merged": found.merged,
    }
    lines = [f"- {image_id}" for image_id in found.only_a] + [f"+ {image_id}" for image_id in found.only_b]
    lines += [
        f"~ {image_id} {', '.join(names)}{_told(found.regions.get(image_id, {}))}"
        for image_id, names in found.changed.items()
    ]
    merged = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in (found.merged or {}).items())
    lines += [f"merged into {other}: {merged}"] if merged else []
    counts = f"{found.equal} equal, {len(found.changed)} changed"
    lines.append(f"{counts}, {len(found.only_a)} only in {one}, {len(found.only_b)} only in {other}")
    emit(document, as_json, "\n".join(lines))


def _told(regions: dict[str, list[str]]) -> str:
    """What became of a row's regions, in a few words."""
    parts = [f"{len(names)} regions {what}" for what, names in regions.items() if names]
    return f" ({', '.join(parts)})" if parts else ""


@app.command()
def remove(
    folder: Folder,
    out: Out,
    image_id: Annotated[str, typer.Option("--image-id", help="The image to take out (SHA-256, hex).")],
    as_json: JsonOption = False,
) -> None:
    """Make the next version, without one image."""
    from fo1_data.dataset.versions.remove import remove_image

    manifest = remove_image(folder, image_id, out)
    say(f"{out} is version {manifest.version}; {folder} still holds the image: delete it where it must go")
    emit({"dataset": out, "version": manifest.version, "counts": manifest.counts.model_dump()}, as_json)
