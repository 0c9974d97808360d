"""README.md of a trained checkpoint: what it was trained on, how well it answers, licences, lineage.

Made from the files of the run. Addresses on this machine are shortened to their last part.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fo1_data.dataset.layout import code_version
from fo1_data.dataset.versions.lineage import LINEAGE
from fo1_data.errors import CheckpointError
from fo1_data.storage.json_text import parse_object
from fo1_data.training.best_kept import best_line
from fo1_data.training.layout import BEST, LOSSES, SETTINGS
from fo1_data.training.run_log import RunLog

CARD = "README.md"
_SHOWN_SETTINGS = (
    "stage", "steps", "batch_images", "questions_per_image", "learning_rate", "weight_decay", "lora_rank",
    "names_as_phrases", "labels_as_captions", "negative_share", "human_weight", "seed",
)  # fmt: skip


def write_model_card(folder: Path) -> None:
    """Write the card of a checkpoint that `fo1 train` has written, or of the best one in its folder."""
    (folder / CARD).write_text(model_card(folder), encoding="utf-8")


def model_card(folder: Path) -> str:
    """The card's Markdown. Raises CheckpointError if no run wrote the folder."""
    run = folder.parent if folder.name == BEST and not (folder / LOSSES).is_file() else folder
    settings, lineage = _load(run / SETTINGS), _load(folder / LINEAGE)
    config = _load(folder / "config.json")
    licence = config.get("license")
    measured = [line for line in _log(run) if "training" in line]
    chosen = measured[-1] if measured else None
    if run != folder:
        chosen = best_line(run, measured)
    name = folder.resolve().name if run == folder else f"{run.resolve().name}/{BEST}"
    lines = ["---", *_front_matter(licence, lineage), "---", "", f"# {_plain(name)}", ""]
    lines += [
        f"A VLM-FO1 checkpoint, stage {settings['stage']}, trained with fo1-data {code_version()} from "
        f"`{_short(lineage['model'])}`. It captions regions, grounds phrases, detects and counts.",
        "",
        *_usage(),
        "## Data",
        "",
        *(f"- {text}" for text in _inputs(lineage)),
        "",
        *_figures(chosen),
        "## Settings",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| `{key}` | {_plain(json.dumps(settings[key]))} |" for key in _SHOWN_SETTINGS if key in settings),
        "",
        "## Licence",
        "",
        f"Weights: {licence or 'not stated by the checkpoint that the training began with'}. The data keep "
        "theirs: see where they come from.",
        "",
    ]
    return "\n".join(lines)


def _front_matter(licence: str | None, lineage: dict[str, Any]) -> Iterable[str]:
    if licence:
        yield from ("license: other", f"license_name: {json.dumps(licence)}")
    yield from ("library_name: fo1-data", "pipeline_tag: image-text-to-text")
    if "/" in lineage["model"] and not Path(lineage["model"]).is_absolute():
        yield f"base_model: {json.dumps(lineage['model'])}"
    yield from ("tags:", "- vlm-fo1", "- region-captions", "- phrase-grounding")


def _usage() -> Iterable[str]:
    yield from (
        "```python",
        "from fo1_data import label_image, load_labeller",
        "",
        'labeller = load_labeller(model="path/or/owner/name", labels=["brief_caption", "ground"])',
        'row = label_image(labeller, "picture.jpg", phrases=["red circle"])',
        "print([region.brief_caption for region in row.regions])",
        "```",
        "",
    )


def _inputs(lineage: dict[str, Any]) -> Iterable[str]:
    for entry in lineage["inputs"]:
        version = f", version {entry['version']}" if "version" in entry else ", a corpus with gold"
        digest = f" (manifest {entry['manifest_sha256'][:12]})" if entry.get("manifest_sha256") else ""
        yield f"`{_short(entry['address'])}`{version}{digest}"
    if "model_lineage" in lineage:
        yield from (f"{text}, by the model before" for text in _inputs(lineage["model_lineage"]))


def _figures(measured: dict[str, Any] | None) -> Iterable[str]:
    if measured is None:
        return
    yield from (f"## Figures after step {measured['step']}", "")
    yield "Share of answers that are exactly right, beside always giving the most frequent answer."
    yield from ("", "| on | kind | right | by guessing | questions |", "| --- | --- | --- | --- | --- |")
    for part in ("validation", "training"):
        figures = measured.get(part, {"accuracy": {}})  # what was kept before a kill has only validation's
        for kind, share in figures["accuracy"].items():
            guess, questions = figures["guess"].get(kind, 0.0), figures["questions"][kind]
            yield f"| {part} | {kind} | {share:.3f} | {guess:.3f} | {questions} |"
    yield ""


def _log(run: Path) -> list[dict[str, Any]]:
    return RunLog(run / LOSSES).lines()


def _load(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(f"{path.parent}: no {path.name}: it is not a folder of `fo1 train`") from None


def _short(address: str) -> str:
    """An address without the folders of this machine; of the web without what may be a key."""
    is_local = "://" not in address or address.startswith("file://")
    if is_local and (address.startswith(("/", "file:", ".")) or address.count("/") > 1):
        return address.rstrip("/").rpartition("/")[2]
    return address.partition("?")[0]


def _plain(text: str) -> str:
    """Text that cannot break out of a table cell or a heading."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
