"""`fo1 report`: a dataset as one HTML page."""

from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit


def report(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    out: Annotated[str, typer.Option("--out", help="The HTML file to write.")] = "report.html",
    images: Annotated[int, typer.Option(min=0, help="Show at most this many images.")] = 48,
    as_json: JsonOption = False,
) -> None:
    """One self-contained page: images with boxes and captions, distributions, what was rejected and why."""
    from fo1_data.report import write_report

    shown = write_report(folder, out, images)
    emit({"report": out, "images_shown": shown}, as_json, f"{out} shows {shown} images of {folder}")
