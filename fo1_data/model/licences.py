"""The licence of a checkpoint, as its model card or its configuration states it."""

import re
from pathlib import Path

import yaml


def licence_of(folder: Path) -> str | None:
    """The licence that a checkpoint's model card or configuration names; None if neither names one."""
    card = folder / "README.md"
    if card.is_file():
        front_matter = re.match(r"^---\s*\n(.*?)\n---", card.read_text("utf-8", "replace"), re.DOTALL)
        if front_matter:
            try:
                metadata = yaml.safe_load(front_matter.group(1))
            except yaml.YAMLError:
                metadata = None
            licence = metadata.get("license") if isinstance(metadata, dict) else None
            if isinstance(licence, str):
                name = metadata.get("license_name")
                return str(name) if licence == "other" and name else licence
    config = folder / "config.json"
    licence = yaml.safe_load(config.read_text("utf-8")).get("license") if config.is_file() else None
    return licence if isinstance(licence, str) else None
