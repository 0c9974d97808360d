"""`fo1 bench signals`: the cost of signals and of second questions, against labelling without them."""

from typing import Annotated

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say
from fo1_data.errors import ConfigError


def signals(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A checkpoint, as for label.")] = "fo1-tiny",
    images: Annotated[int, typer.Option(min=1, help="Generated scenes.")] = 24,
    labels: Annotated[
        str, typer.Option(help="Label kinds, as for label; ground takes the phrases of the scenes.")
    ] = "brief_caption,grounded_caption",
    corruption: Annotated[float, typer.Option(min=0, max=1, help="As for scenes.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of every setting; the fastest counts.")] = 3,
    batch_images: Annotated[int, typer.Option(min=1, help="Images open at once.")] = 8,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if any.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images.")] = 9_100_000,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure regions/s without signals, with each second question, the default settings, and all."""
    import torch

    from fo1_data.benchmarks.signal_cost import bench_signals, make_images
    from fo1_data.model.checkpoint import load_checkpoint
    from fo1_data.model.device import choose_device, choose_dtype
    from schemas.labels import LabelKind

    supported = [
        kind for kind in LabelKind if kind.per_region or kind.value in ("grounded_caption", "ground")
    ]
    requested = [word.strip() for word in labels.split(",")]
    kinds = [kind for kind in supported if kind.value in requested]
    if len(kinds) != len(requested):
        raise ConfigError(f"--labels {labels}: bench signals takes {', '.join(supported)}")
    if dtype not in (None, "float32", "bfloat16"):
        raise ConfigError(f"--dtype {dtype}: float32 or bfloat16")
    if threads is not None:
        torch.set_num_threads(threads)
    torch_device = choose_device(device)
    checkpoint = load_checkpoint(model, device=torch_device, dtype=choose_dtype(dtype, torch_device)[1])
    document = bench_signals(
        checkpoint,
        make_images(images, seed, corruption),
        kinds,
        rounds=rounds,
        batch_images=batch_images,
        report=say,
    )
    lines = [
        f"{name}: {figures['regions_per_s']:.1f} regions/s, {figures['share_of_without_signals']:.0%} of the "
        f"rate without signals; second questions for {figures['labels_asked_again']:.0%} of the labels"
        for name, figures in document["settings"].items()
    ]
    emit_figures(context, document, as_json, "\n".join(lines), history)
