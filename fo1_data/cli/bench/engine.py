"""`fo1 bench engine`: regions per second with shared prefixes, against a plain loop and `generate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say
from fo1_data.errors import ConfigError

# What is measured unless the options say otherwise: models, presets on a GPU, presets on a CPU.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {
        "images": 16,
        "loop_images": 4,
        "regions": 20,
        "max_new_tokens": 64,
        "edge_px": None,
        "rounds": 2,
    },
    "cuda": {
        "images": 16,
        "loop_images": 4,
        "regions": 30,
        "max_new_tokens": 32,
        "edge_px": 1024,
        "rounds": 2,
    },
    "cpu": {"images": 1, "loop_images": 1, "regions": 20, "max_new_tokens": 16, "edge_px": 448, "rounds": 1},
}


def engine(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A checkpoint, as for label.")] = "fo1-tiny",
    preset: Annotated[
        str | None, typer.Option(help="A model size, not a checkpoint: vlm-fo1-3b, or small to try it out.")
    ] = None,
    random_weights: Annotated[bool, typer.Option(help="Fill the preset with random weights.")] = False,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images for the engine.", show_default="16")
    ] = None,
    loop_images: Annotated[
        int | None, typer.Option(min=1, help="How many of these for the other ways.", show_default="4")
    ] = None,
    regions: Annotated[
        int | None, typer.Option(min=1, max=100, help="Regions per image.", show_default="20")
    ] = None,
    labels: Annotated[str, typer.Option(help="Label kinds to ask for every region.")] = "brief_caption",
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in tokens.", show_default="64")
    ] = None,
    edge_px: Annotated[int | None, typer.Option(help="Scale the images to this long edge.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Turns of engine and peers.", show_default="2")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="End within about this time; parts that do not fit are skipped.")
    ] = 840,
    table: Annotated[
        Path | None, typer.Option(help="Write the figures as a Markdown table, anew after each part.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if any.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of torch (default: all, and 2 against 1).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the images.")] = 9_000_000,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure regions/s with shared prefixes, against a plain loop and against transformers' generate."""
    import torch

    from fo1_data.benchmarks.engine_speed import ENGINE, ENGINE_AND_EAGER, EngineBench
    from fo1_data.benchmarks.engine_table import engine_table
    from fo1_data.benchmarks.workload import make_workload
    from fo1_data.model.checkpoint import load_checkpoint
    from fo1_data.model.device import choose_device, choose_dtype
    from fo1_data.model.presets import random_preset
    from schemas.labels import LabelKind

    kinds = [kind for kind in LabelKind if kind.per_region and kind.value in labels.split(",")]
    if len(kinds) != len(labels.split(",")):
        raise ConfigError(f"--labels {labels}: bench engine takes brief_caption, detailed_caption, ocr")
    if preset and not random_weights:
        raise ConfigError("--preset needs --random-weights: only --model has weights")
    if dtype not in (None, "float32", "bfloat16"):
        raise ConfigError(f"--dtype {dtype}: float32 or bfloat16")
    if threads is not None:
        torch.set_num_threads(threads)
    torch_device = choose_device(device)
    _, torch_dtype = choose_dtype(dtype, torch_device)
    is_large = bool(preset) and torch_device.type == "cpu"
    size = _DEFAULTS[torch_device.type if preset else "model"] | {
        name: context.params[name] for name in _DEFAULTS["model"] if context.params[name] is not None
    }
    if preset:
        checkpoint = random_preset(preset, device=torch_device, dtype=torch_dtype)
    else:
        checkpoint = load_checkpoint(model, device=torch_device, dtype=torch_dtype)
    workload = make_workload(
        size["images"], size["regions"], kinds, size["max_new_tokens"], seed, size["edge_px"]
    )
    engines = ENGINE_AND_EAGER if torch_device.type == "cuda" or table is not None else ENGINE

    def save(document: dict[str, Any]) -> None:
        if table is not None:
            table.write_text(engine_table(document, list(engines)), "utf-8")

    document = EngineBench(
        checkpoint,
        workload,
        min(size["loop_images"], size["images"]),
        engines,
        rounds=size["rounds"],
        seconds=seconds,
        warms_up=not is_large,
        compares_threads=threads is None and torch_device.type == "cpu" and not is_large,
        report=say,
        save=save,
    ).run()
    emit_figures(context, document, as_json, _text(document), history)


def _text(document: dict[str, Any]) -> str:
    ratios = {
        "transformers' generate on a shared prefix": document.get("ratio_shared_prefix"),
        "the same with transformers' towers": document.get("ratio_shared_prefix_own_towers"),
        "generate left-padded": document.get("ratio_left_padded"),
        "one thread, with two": document.get("ratio_two_threads"),
    }
    parts = [f"{ratio:.2f} times {other}" for other, ratio in ratios.items() if ratio is not None]
    shares = document["engine"]["share_of_limits"]
    is_equal = document["answers_equal"] and document.get("peers_equal", True)
    return "\n".join(
        [
            f"engine {document['engine']['regions_per_s']:.1f} regions/s, plain loop "
            f"{document['loop']['regions_per_s']:.2f} regions/s: {document['ratio']:.1f} times; "
            f"{', '.join(parts)}; answers {'equal' if is_equal else 'DIFFER'}",
            f"shares of the device's limits: {', '.join(f'{name} {x:.1%}' for name, x in shares.items())}",
            *(f"not measured: {part} ({reason})" for part, reason in document["skipped"].items()),
        ]
    )
