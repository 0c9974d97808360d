"""`fo1 model`: inspects and compares checkpoints, attaches regions to a base, merges adapters, pushes."""

from pathlib import Path
from typing import Annotated

import typer

from fo1_data.cli.output import JsonOption, emit
from fo1_data.storage.addresses import refuse_taken

app = typer.Typer(help="Inspect, compare, attach, merge and push checkpoints.", no_args_is_help=True)

ModelArgument = Annotated[
    str, typer.Argument(help="A folder in the layout of VLM-FO1, a hub id, or fo1-tiny.")
]


@app.command()
def info(model: ModelArgument = "fo1-tiny", as_json: JsonOption = False) -> None:
    """Show what a checkpoint holds, and whether all of its weights fit. Exit code 1 if not."""
    from fo1_data.model.checkpoint import describe

    document = describe(model)
    fits = not (document["missing"] or document["unexpected"] or document["wrong_shape"])
    lines = [
        f"{document['name']}: {document['parameters'] / 1e6:.2f} M parameters, "
        f"licence {document['licence'] or 'not stated'}",
        *(f"  {part:18} {count / 1e6:9.3f} M" for part, count in document["parts"].items()),
        f"  region features of {document['region_width']}, {document['regions_a_prompt']} regions a prompt",
        f"  reads texts from {_how_texts_are_read(document['ocr_crop_min_pixels'])}",
        f"  sha256 {document['sha256']}",
        *(f"  {name} is not as it was written (SHA256SUMS)" for name in document["changed_files"]),
        *(
            f"  {source['name']} ({source['model_type']}, licence {source['licence'] or 'not stated'}): "
            f"{len(source['changed'])} of {source['weights']} weights changed since it was attached"
            for source in document["sources"]
        ),
        "all weights fit" if fits else "weights that do not fit:",
        *(
            f"  {what}: {name}"
            for what in ("missing", "unexpected", "wrong_shape")
            for name in document[what]
        ),
    ]
    emit(document, as_json, "\n".join(lines))
    if not fits:
        raise typer.Exit(1)


def _how_texts_are_read(crop_min_pixels: int | None) -> str:
    if crop_min_pixels is None:
        return "region features"
    return f"crops of their boxes, of at least {crop_min_pixels} pixels"


@app.command()
def verify(
    model: ModelArgument,
    golden: Annotated[Path, typer.Option(help="Folder of reference tensors: index.json and cases/.")],
    as_json: JsonOption = False,
) -> None:
    """Compare every stage with reference tensors, and every answer with reference tokens."""
    from fo1_data.model.golden import verify as compare

    document = compare(model, golden)
    lines = [
        f"{'ok  ' if case['ok'] else 'FAIL'} {name}: "
        f"largest difference {max(case['tensors'].values(), default=0):.2e}"
        f"{'' if case['tokens_equal'] else ', tokens differ'}"
        f"{', wrong: ' + ', '.join(case['wrong']) if case['wrong'] else ''}"
        for name, case in document["cases"].items()
    ]
    lines += [f"bfloat16 {name}: {value:.3g}" for name, value in document.get("bfloat16", {}).items()]
    lines.append("all equal within 1e-4" if document["ok"] else "some differ")
    emit(document, as_json, "\n".join(lines))
    if not document["ok"]:
        raise typer.Exit(1)


@app.command()
def attach(
    base: Annotated[
        str, typer.Option(help="Pre-trained VLM: a folder or a hub id. docs/plug-and-play.md lists families.")
    ],
    aux: Annotated[str, typer.Option(help="DaViT: a checkpoint of Florence-2 or VLM-FO1, or fo1-tiny.")],
    out: Annotated[Path, typer.Option(help="New folder of the checkpoint; train it before labelling.")],
    licence: Annotated[
        str | None, typer.Option(help="Licence of the base. Default: what its files state.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights that are new.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make an untrained VLM-FO1 of a pre-trained VLM: new tokens and a region path, every weight kept."""
    from fo1_data.model.attaching.attach import attach as attach_regions

    refuse_taken(out)
    record = attach_regions(base, aux, out, licence=licence, seed=seed)
    kept = len(record.base.sha256) + len(record.auxiliary.sha256)
    emit(
        {"checkpoint": str(out), "licence": record.licence, "weights_kept": kept},
        as_json,
        f"{out}: {base} with regions, {kept} weights kept; licence {record.licence}\n"
        f"next: fo1 train DATA --stage 1 --model {out} --out TRAINED",
    )


@app.command()
def push(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a trained checkpoint: --out of fo1 train, or best/ in it.")
    ],
    repo: Annotated[
        str, typer.Option(help="Repository on the Hub: owner/name. It is made if it is missing.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Push a trained checkpoint to the Hub, with a card of its data, figures and licence."""
    from fo1_data.training.hub import push_model

    url = push_model(folder, repo, private=private)
    emit({"repo": repo, "commit": url}, as_json, f"{folder}: pushed to {repo}: {url}")


@app.command()
def merge(
    model: ModelArgument,
    adapters: Annotated[Path, typer.Option(help="Folder apart/ of a run with keep_apart.")],
    out: Annotated[Path, typer.Option(help="New folder of the merged checkpoint.")],
    as_json: JsonOption = False,
) -> None:
    """Join a model with what was trained from it and kept apart. The result loads as --model."""
    from fo1_data.training.apart import merge_apart

    refuse_taken(out)
    merge_apart(model, adapters, out)
    emit({"checkpoint": str(out)}, as_json, f"{out}: {model} with {adapters}")
