"""README.md of a dataset: a card for people, with the front matter by which the Hub and `datasets` load it.

`data_files` names the data files of each split and nothing else, so rejects are never loaded as rows.
"""

import json
from collections.abc import Sequence

from fo1_data.dataset.counting import UNREVIEWED_MEANS, boxes_from
from fo1_data.dataset.layout import split_and_index
from schemas.dataset import Manifest, ManifestFile

_COUNT_NAMES = {
    "images": "images", "regions": "regions", "captions": "region captions", "groundings": "groundings",
    "counts": "counts", "answers": "answers", "videos": "videos", "tracks": "tracks",
    "rejected": "inputs rejected", "accepted": "labels accepted", "audit": "labels drawn for the audit",
    "review": "labels for review", "unreviewed": "labels unreviewed",
}  # fmt: skip


def splits_of(files: Sequence[ManifestFile]) -> list[str]:
    """The splits that have data files; train, validation and test first."""
    usual = ["train", "validation", "test"]
    present = {place[0] for place in (split_and_index(file.path) for file in files) if place is not None}
    return [name for name in usual if name in present] + sorted(present - set(usual))


def dataset_card(manifest: Manifest) -> str:
    """The card's Markdown. Strings from outside are quoted or fenced."""
    lines = ["---", f"pretty_name: {json.dumps(manifest.name)}"]
    if manifest.model is not None and manifest.model.licence:
        lines += ["license: other", f"license_name: {json.dumps(manifest.model.licence)}"]
    lines += [
        "tags:",
        "- fo1-data",
        "- region-captions",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in splits_of(manifest.files):
        lines += [f"  - split: {split}", f"    path: data/{split}-[0-9]*.parquet"]
    lines += ["---", "", f"# {_plain(manifest.name)}, version {manifest.version}", ""]
    lines += ["| | |", "| --- | --- |"]
    counts = manifest.counts.model_dump()
    lines += [f"| {text} | {counts[key]:,} |" for key, text in _COUNT_NAMES.items() if counts.get(key)]
    lines += [f"| {key} | {_plain(value)} |" for key, value in _origin(manifest).items() if value]
    if manifest.counts.unreviewed:
        lines += ["", f"Unreviewed: {UNREVIEWED_MEANS}."]
    lines += [
        "",
        "One row is one image. Boxes are absolute pixels of the EXIF-oriented image, `x_min, y_min, x_max, "
        "y_max`. `rejects.parquet` holds the inputs that gave no label, each with its reason; "
        "`manifest.json` lists the files that count.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'rows = load_dataset("path/to/this/folder")',
        "```",
        "",
    ]
    if manifest.counts.tracks:
        lines += [
            "`tracks.parquet` has a row for each thing that was followed through a shot of a video, with its "
            "box in every frame; `videos.parquet` the videos. `track_id` of a region names its track.",
            "",
        ]
    return "\n".join(lines)


def _origin(manifest: Manifest) -> dict[str, str | None]:
    model = manifest.model
    return {
        "model": f"{model.name} ({model.sha256[:12]})" if model else None,
        "licence of the model": model.licence if model else None,
        "domain of the model": model.domain if model else None,
        "boxes from": boxes_from(manifest),
        "made from": manifest.parent,
        "created": manifest.created_at,
        "fo1-data": manifest.code_version,
    }


def _plain(text: str) -> str:
    """Text that cannot break out of a table cell or a heading."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
