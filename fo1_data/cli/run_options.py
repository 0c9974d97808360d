"""The options that `fo1 label` and `fo1 plan` share, one for each setting of a run.

A command declares its options as the fields of `RunConfig` do: long name with dashes, the key of a
TOML file with underscores. Declares and collects; checks nothing (that is `fo1_data.config`).
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

GROUP_WHAT = "What is labelled"
GROUP_TRUST = "Confidence and review"
GROUP_WHERE = "Where it runs"
GROUP_LIMITS = "Inputs and limits"

_OPTIONS: dict[str, tuple[type, str, str]] = {
    "name": (str, GROUP_WHAT, "Name of the dataset (default: the folder's)."),
    "model": (str, GROUP_WHAT, "A folder, URL, hub id, or fo1-tiny (bundled, the default)."),
    "proposals": (str, GROUP_WHAT, "auto, corpus, fo1-tiny, a file of boxes, or a detector checkpoint."),
    "labels": (str, GROUP_WHAT, "Label kinds, comma-separated. Default: brief_caption,grounded_caption."),
    "vocabulary": (
        str,
        GROUP_WHAT,
        "Words to detect and count, comma-separated; @corpus: what each image's own counts name.",
    ),
    "phrases": (str, GROUP_WHAT, "File of phrases to ground."),
    "question": (
        str,
        GROUP_WHAT,
        "Question of the label kind ask; with {region} it is asked of every region.",
    ),
    "parent": (str, GROUP_WHAT, "Dataset whose rows are carried over for images labelled there."),
    "second_questions": (
        str,
        GROUP_TRUST,
        "Asked about unsure labels: of ask_back, absence (these by default), blind; or none.",
    ),
    "unsure_below": (
        float,
        GROUP_TRUST,
        "Probability of a label's least sure part under which second questions are asked; 1: of all.",
    ),
    "calibration": (str, GROUP_TRUST, "File of fo1 calibrate."),
    "max_error": (float, GROUP_TRUST, "Highest share of wrong labels among the accepted ones."),
    "confidence_level": (float, GROUP_TRUST, "How sure max-error is to hold."),
    "review_budget": (float, GROUP_TRUST, "Labels people can review: a number, or a share below 1."),
    "audit": (float, GROUP_TRUST, "Share of accepted labels drawn for a blind audit."),
    "seed": (int, GROUP_TRUST, "Seed of every draw."),
    "address": (str, GROUP_WHERE, "Ray cluster (default: a local Ray); in-process: no Ray at all."),
    "actors": (str, GROUP_WHERE, "Labelling actors: N, or MIN:MAX."),
    "cpus_per_actor": (float, GROUP_WHERE, "CPUs an actor takes."),
    "gpus_per_actor": (
        float,
        GROUP_WHERE,
        "GPUs an actor takes, fractions too (default: 1 where there are any).",
    ),
    "object_store_bytes": (int, GROUP_WHERE, "Most memory of a local Ray's object store."),
    "shard_size": (int, GROUP_WHERE, "Images of a shard, the unit of work and of resuming."),
    "max_tries": (int, GROUP_WHERE, "How often an image alone may take its worker down."),
    "placement_timeout_s": (float, GROUP_WHERE, "How long a cluster may take to grow to the actors."),
    "device": (str, GROUP_WHERE, "cpu or cuda (default: cuda where there is one)."),
    "dtype": (str, GROUP_WHERE, "float32 or bfloat16 (default: what suits the device)."),
    "batch_images": (int, GROUP_WHERE, "Images the engine opens at once."),
    "engine_bytes": (int, GROUP_WHERE, "Most memory of the engine's open images."),
    "frame_every_s": (float, GROUP_LIMITS, "Seconds between the frames that a video is read as."),
    "limit": (int, GROUP_LIMITS, "Only the first N images."),
    "box_frame": (str, GROUP_LIMITS, "Frame of the corpus' boxes: auto, stored or oriented."),
    "score_floor": (float, GROUP_LIMITS, "Lowest score of a detector's box."),
    "nms_iou": (float, GROUP_LIMITS, "Overlap above which a detector's weaker box is dropped."),
    "max_proposals": (int, GROUP_LIMITS, "Most boxes a detector gives an image."),
    "max_new_tokens": (int, GROUP_LIMITS, "Longest answer in tokens."),
    "max_pixels": (int, GROUP_LIMITS, "Largest image in pixels."),
    "max_bytes": (int, GROUP_LIMITS, "Largest file in bytes."),
    "download_timeout_s": (float, GROUP_LIMITS, "Longest download of an image in seconds."),
    "validation_share": (float, GROUP_LIMITS, "Share of images in the split validation."),
    "test_share": (float, GROUP_LIMITS, "Share of images in the split test."),
}

_FLAGS: dict[str, tuple[str, str]] = {
    "embed_images": (GROUP_WHAT, "Store the pixels in the dataset."),
    "force": (GROUP_TRUST, "Use a calibration of another model, proposer or wording, with a warning."),
    "replay_rejects": (GROUP_WHAT, "Try the rejects of --out again."),
    "strict": (GROUP_LIMITS, "Exit code 1 where anything was rejected."),
}


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command every run option, handed to its parameter `settings` (None: not given)."""
    own = [
        parameter for name, parameter in inspect.signature(command).parameters.items() if name != "settings"
    ]

    def wrapped(**values: Any) -> None:
        settings = {name: values.pop(name) for name in (*_OPTIONS, *_FLAGS)}
        # A flag that is off says nothing: the TOML file may turn it on. A zero is said.
        said = {key: value for key, value in settings.items() if value is not None and value is not False}
        command(**values, settings=said)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = inspect.Signature([*own, *_parameters()])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *_parameters()]}
    return wrapped


def _parameters() -> list[inspect.Parameter]:
    found = []
    for name, (kind, panel, text) in _OPTIONS.items():
        option = typer.Option(_flag(name), help=text, rich_help_panel=panel)
        found.append(_parameter(name, Annotated[kind | None, option], None))
    for name, (panel, text) in _FLAGS.items():
        option = typer.Option(_flag(name), help=text, rich_help_panel=panel)
        found.append(_parameter(name, Annotated[bool, option], False))
    return found


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
