"""`fo1 dataset`: inspects, checks, merges, publishes, exports, compares and traces datasets."""

from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.plurals import counted

app = typer.Typer(
    name="dataset",
    help="Inspect, check, merge, publish, export and compare datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")]
Out = Annotated[str, typer.Option("--out", help="New folder or URL to write to.")]


@app.command()
def info(folder: Folder, as_json: JsonOption = False) -> None:
    """Show what a dataset holds and where it comes from."""
    from fo1_data.dataset.summary import summarise

    emit(summarise(folder), as_json)


@app.command()
def validate(folder: Folder, as_json: JsonOption = False) -> None:
    """Check every file against the manifest, and every row. Exit code 1 if anything is wrong."""
    from fo1_data.dataset.validate import validate_dataset

    problems = validate_dataset(folder)
    text = "\n".join(problems) if problems else f"{folder}: no problems"
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
            help="Corrections: a JSON Lines file or its URL; `service` for the newest review of DIR at "
            "FO1_SERVICE_URL and those merged into DIR before; or `review:ID`.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Make the next version with the corrections of people. Merging twice or in parts gives the same rows."""
    from fo1_data.dataset.corrections.sources import read_corrections, read_followed, reviews_read_whole
    from fo1_data.dataset.versions.merge import merge_corrections

    if corrections == "service":
        listed, reviews = read_followed(folder)
    else:
        listed = read_corrections(corrections)
        reviews = reviews_read_whole(corrections, listed)
    report = merge_corrections(folder, listed, out, reviews=reviews)
    manifest = report.manifest
    num_withdrawn = report.merged.get("withdrawn")
    if num_withdrawn:
        parent = (manifest.parent or "").rpartition("@")[2]
        say(
            f"{counted(num_withdrawn, 'correction was', 'corrections were')} withdrawn since version {parent}"
        )
    document = {
        "dataset": out,
        "version": manifest.version,
        "parent": manifest.parent,
        "merged": report.merged,
        "counts": manifest.counts.model_dump(),
    }
    emit(document, as_json)


@app.command()
def lineage(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A dataset, or a trained checkpoint.")],
    images: Annotated[bool, typer.Option("--images", help="List every source image.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a checkpoint or dataset was made of: every version, back to the source images."""
    from fo1_data.dataset.versions.lineage import trace

    emit(trace(place, with_images=images), as_json)


@app.command()
def publish(
    folder: Folder,
    out: Out,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="accepted", help="Keep only accepted labels."),
    ] = None,
    include_unreviewed: Annotated[
        bool,
        typer.Option(
            "--include-unreviewed",
            help="Also publish unreviewed labels: routed without a calibration, and seen by nobody.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a self-contained training set, with the bytes of every image in its row."""
    from fo1_data.dataset.versions.publish import publish as publish_dataset
    from fo1_data.errors import ConfigError

    if only not in (None, "accepted"):
        raise ConfigError(f"--only {only}: the only value is accepted")
    manifest, left_out = publish_dataset(
        folder, out, only_accepted=only is not None, include_unreviewed=include_unreviewed
    )
    if left_out:
        say(
            f"fo1: {left_out:,} unreviewed labels are left out: no calibration stands behind them and nobody "
            "saw them. Calibrate and route again, or publish them with --include-unreviewed"
        )
    if not manifest.counts.images:
        say(f"fo1: {out} has no image: no label is accepted; route with a calibration, or review {folder}")
    counts = manifest.counts.model_dump()
    emit({"dataset": out, "counts": counts, "unreviewed_left_out": left_out}, as_json)


@app.command()
def export(
    folder: Folder,
    out: Out,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="One of coco, dicom-sr, geojson, geoparquet, messages, mot (tracks), preferences (answers "
            "that people changed), webdataset, yolo, youtube-vis (tracks).",
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(help="Trainer that messages are for: trl (the default), ms-swift or llama-factory."),
    ] = None,
    copy_images: Annotated[
        bool,
        typer.Option(
            "--copy-images",
            help="Write the images of coco, or the frames of mot and youtube-vis; other forms do.",
        ),
    ] = False,
    file_names: Annotated[
        str | None,
        typer.Option(
            metavar="absolute|relative",
            help="File names in coco: addresses, or paths below the images' common folder (below the "
            "export's folder for copied images). By default relative for copied images, else absolute.",
        ),
    ] = None,
    image_root: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the trainer finds the export's folder, for the image paths of messages and "
            "preferences. By default the folder as it is here; `.` for paths that begin in it.",
        ),
    ] = None,
    dicom_files: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the labelled DICOM files, for dicom-sr: its reports name their patients, as the "
            "files do.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset in a format of other tools."""
    from fo1_data.dataset.exports.export import export_dataset

    written = export_dataset(
        folder,
        form,
        out,
        profile,
        copy_images=copy_images,
        file_names=file_names,
        image_root=image_root,
        dicom_files=dicom_files,
    )
    if num := written.get("captions_left_out"):
        tracks = counted(num, "track")
        say(f"{form} holds no captions: those of {tracks} are left out (youtube-vis holds them)")
    emit({"out": out, "format": form, **written}, as_json)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="Folder or URL of a finished dataset.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Folder or URL of another one.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets image by image, and track by track. Ignores provenance, and differences of scores
    up to 1e-4."""
    from fo1_data.cli.difference_text import difference_document, difference_text
    from fo1_data.dataset.versions.compare import compare_datasets

    difference = compare_datasets(first, second)
    emit(difference_document(difference), as_json, difference_text(difference, first, second))


@app.command()
def split(
    folder: Folder,
    out: Out,
    validation_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the images of the split `validation`.")
    ] = 0.1,
    test_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the images of the split `test`.")
    ] = 0.0,
    max_distance: Annotated[
        int,
        typer.Option(
            min=-1,
            max=32,
            help="Images whose difference hashes differ in at most so many of 64 bits stay in one split. "
            "-1: do not compare images.",
        ),
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw among equals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make the next version with new splits: near-duplicates and frames of a video together, rare labels in
    every split."""
    from fo1_data.dataset.versions.split import split_dataset

    shares = {"validation": validation_share, "test": test_share}
    report = split_dataset(folder, out, shares, max_distance=max_distance, seed=seed)
    if report.unread:
        say(f"{counted(report.unread, 'image')} could not be read: compared without")
    document = {
        "dataset": out,
        "version": report.manifest.version,
        "images": report.images,
        "near_duplicate_groups": report.groups,
        "unread": report.unread,
        "labels": report.labels,
    }
    emit(document, as_json)


@app.command()
def remove(
    folder: Folder,
    out: Out,
    image_id: Annotated[
        str,
        typer.Option(
            "--image-id",
            metavar="IMAGE",
            help="The image or video to remove: its id (SHA-256, hex), or its path or file name.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Make the next version, without one image or one video with its tracks. The present version keeps it."""
    from fo1_data.dataset.versions.remove import find_image, remove_image, remove_video

    image = find_image(folder, image_id)
    if image.keyframes is not None:
        manifest = remove_video(folder, image, out)
    else:
        manifest = remove_image(folder, image.image_id, out)
    say(f"removed {image.text}")
    what = "image" if image.keyframes is None else "video"
    say(f"{out} is version {manifest.version}; {folder} still has the {what}: delete that folder to erase it")
    document = {
        "dataset": out,
        "version": manifest.version,
        "removed": image.described(),
        "counts": manifest.counts.model_dump(),
    }
    emit(document, as_json)
