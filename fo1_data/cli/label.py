"""`fo1 label`: labels a corpus into a dataset. The same command again resumes the run."""

import importlib.util
import sys
import time
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.progress_lines import ProgressLines, duration
from fo1_data.cli.run_options import with_run_options
from fo1_data.config import load_run
from fo1_data.errors import ConfigError, RunError
from fo1_data.logs import log_if_asked
from fo1_data.plurals import counted
from fo1_data.runs.rejected_inputs import (
    count_reasons,
    faults,
    frequent_reason,
    of_inputs,
    reasons_text,
)
from fo1_data.runs.stopping import exit_code, stopping_on_sigterm
from fo1_data.traces import check_traces
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="TOML file of settings (docs/settings.md lists them). What is given here overrides the file.",
    ),
]


@with_run_options()
def label(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Label a corpus into a dataset. Run the same command again to resume it."""
    run = load_run(config, settings)
    started_s = time.monotonic()
    manifest = _label(run)
    seconds = round(time.monotonic() - started_s, 3)
    counts = manifest.counts
    sources = [source.model_dump(mode="json") for source in manifest.sources or []]
    all_reasons = count_reasons(run.out) if counts.rejected else {}
    reasons = of_inputs(all_reasons)
    document = {
        "dataset": run.out,
        "counts": counts.model_dump(),
        "seconds": seconds,
        "sources": sources,
        "rejected_by_reason": all_reasons,
    }
    if manifest.model is not None and manifest.model.domain:
        say(f"{manifest.model.name} knows only {manifest.model.domain}")
    if counts.guessed_frames:
        say(guess_text(counts.guessed_frames))
    if counts.further_pages:
        say(further_pages_text(counts.further_pages))
    if counts.refused_opinions:
        say(refused_text(counts.refused_opinions))
    rejected = f"{counts.rejected:,} rejected" + (f" ({reasons_text(all_reasons)})" if all_reasons else "")
    emit(document, as_json, f"{run.out}: {_counts_text(manifest)}, {rejected} in {duration(seconds)}")
    rejects = f"{run.out}/rejects.parquet"
    if reasons and not counts.images:
        raise RunError(f"no image of the corpus could be used: {reasons_text(reasons)}; see {rejects}")
    if (sentence := frequent_reason(faults(reasons), counts.images)) is not None:
        say(f"fo1: {sentence}: see {rejects}")
    if run.strict and (num_faults := sum(faults(all_reasons).values())):
        say(f"fo1: {counted(num_faults, 'input')} rejected (--strict): see {rejects}")
        raise typer.Exit(1)


def _label(run: RunConfig) -> Manifest:
    from fo1_data.runs.in_process import IN_PROCESS, run_in_process

    check_traces()
    # Ray reports lost workers on standard output, which is only for the result.
    with redirect_stdout(sys.stderr), log_if_asked(), ProgressLines() as lines:
        try:
            with stopping_on_sigterm():
                if run.address == IN_PROCESS:
                    return run_in_process(run, lines)
                require_ray()
                from actors.run import run_labelling

                return run_labelling(run, lines)
        except KeyboardInterrupt as stop:
            say("fo1: stopped; run the same command again to resume")
            raise typer.Exit(exit_code(stop)) from None


def guess_text(num_images: int) -> str:
    """What to say of images whose boxes may be of the picture as stored or as shown."""
    images = counted(num_images, "image is", "images are")
    return (
        f"{images} turned or mirrored and nothing tells the frame of their boxes: shares (YOLO) were taken "
        "as of the picture as shown, pixels as of the picture as stored (--box-frame sets it)"
    )


def further_pages_text(num_images: int) -> str:
    """What to say of images that are the first of several in their file."""
    files = counted(num_images, "file holds", "files hold")
    return (
        f"{files} further pages or frames, which were not read: write each to a file of its own to have it "
        "labelled"
    )


def refused_text(num_labels: int) -> str:
    """What to say of labels whose pictures the second model gave no answer to."""
    return (
        f"the second opinion gave no answer about regions of {counted(num_labels, 'label')} "
        "(signal second_opinion_refused): does the model take pictures, and as large as these?"
    )


def require_ray() -> None:
    """Raise ConfigError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("Ray is not installed: install fo1-data[ray], or use --address in-process")


def _counts_text(manifest: Manifest) -> str:
    counts = manifest.counts
    return (
        f"{counted(counts.images, 'image')}, {counted(counts.regions, 'region')}, "
        f"{counted(counts.captions, 'caption')}, {counted(counts.groundings, 'grounding')}"
    )
