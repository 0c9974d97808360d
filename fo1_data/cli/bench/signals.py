"""`fo1 bench signals`."""

from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.errors import ConfigError


def signals(
    model: Annotated[str, typer.Option(help="A checkpoint, as for label.")] = "fo1-tiny",
    images: Annotated[int, typer.Option(min=1, help="Generated scenes.")] = 24,
    labels: Annotated[
        str, typer.Option(help="Label kinds, as for label; ground asks for the scenes' own phrases.")
    ] = "brief_caption,grounded_caption",
    corruption: Annotated[float, typer.Option(min=0, max=1, help="As for scenes.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every setting; the fastest counts.")] = 3,
    batch_images: Annotated[int, typer.Option(min=1, help="Images open at once.")] = 8,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if any.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images.")] = 9_100_000,
    as_json: JsonOption = False,
) -> None:
    """Regions per second without signals, with each second question, the default cascade, and all."""
    import torch

    from fo1_data.benchmarks.signal_cost import bench_signals, make_pictures
    from fo1_data.model.checkpoint import load_checkpoint
    from fo1_data.model.device import choose_device, choose_dtype
    from schemas.labels import LabelKind

    served = [kind for kind in LabelKind if kind.per_region or kind.value in ("grounded_caption", "ground")]
    wanted = [word.strip() for word in labels.split(",")]
    kinds = [kind for kind in served if kind.value in wanted]
    if len(kinds) != len(wanted):
        raise ConfigError(f"--labels {labels}: bench signals takes {', '.join(served)}")
    if dtype not in (None, "float32", "bfloat16"):
        raise ConfigError(f"--dtype {dtype}: float32 or bfloat16")
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    checkpoint = load_checkpoint(model, device=chosen, dtype=choose_dtype(dtype, chosen)[1])
    document = bench_signals(
        checkpoint,
        make_pictures(images, seed, corruption),
        kinds,
        rounds=rounds,
        batch_images=batch_images,
        tell=say,
    )
    lines = [
        f"{name}: {one['regions_per_s']:.1f} regions/s, {one['share_of_without_signals']:.0%} of those "
        f"without signals; {one['labels_asked_again']:.0%} of the labels asked about again"
        for name, one in document["settings"].items()
    ]
    emit(document, as_json, "\n".join(lines))
