"""`fo1 bench engine`: regions per second with shared prefixes, against a plain loop over questions."""

from typing import Annotated

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say
from fo1_data.errors import ConfigError


def engine(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A checkpoint, as for label.")] = "fo1-tiny",
    preset: Annotated[str | None, typer.Option(help="A model size, not a checkpoint: vlm-fo1-3b.")] = None,
    random_weights: Annotated[bool, typer.Option(help="Fill the preset with random weights.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Images for the engine.")] = 16,
    loop_images: Annotated[int, typer.Option(min=1, help="How many of these for the plain loop.")] = 4,
    regions: Annotated[int, typer.Option(min=1, max=100, help="Regions per image.")] = 20,
    labels: Annotated[str, typer.Option(help="Label kinds to ask for every region.")] = "brief_caption",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    edge_px: Annotated[int | None, typer.Option(help="Scale the images to this long edge.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if any.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the images.")] = 9_000_000,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure regions/s with shared prefixes, against a plain loop and against transformers' generate."""
    import torch

    from fo1_data.benchmarks.engine_speed import bench_engine
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
    if preset:
        checkpoint = random_preset(preset, device=torch_device, dtype=torch_dtype)
    else:
        checkpoint = load_checkpoint(model, device=torch_device, dtype=torch_dtype)
    workload = make_workload(images, regions, kinds, max_new_tokens, seed, edge_px)
    document = bench_engine(checkpoint, workload, min(loop_images, images), say)
    engine_rate, loop_rate = document["engine"]["regions_per_s"], document["loop"]["regions_per_s"]
    emit_figures(
        context,
        document,
        as_json,
        f"engine {engine_rate:.1f} regions/s, plain loop {loop_rate:.2f} regions/s: "
        f"{document['ratio']:.1f} times; {document['ratio_shared_prefix']:.2f} times transformers' generate "
        f"on a shared prefix, {document['ratio_left_padded']:.2f} times left-padded; "
        f"answers {'equal' if document['answers_equal'] and document['peers_equal'] else 'DIFFER'}",
        history,
    )
