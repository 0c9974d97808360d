"""Finds the folder of a checkpoint and hashes its files, without loading it. Does not import torch.

A checkpoint's name is a folder, `fo1-tiny` (bundled) or a hub id. For a URL, `fo1_data.model.node_cache`
first fetches a local folder.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fo1_data.errors import CheckpointError, refuse_full_disk
from fo1_data.model.checksums import refuse_changed, sha256_of
from fo1_data.storage.json_text import parse_json

BUNDLED = "fo1-tiny"
SINGLE_FILE = "model.safetensors"
MODEL_CARD, DOMAIN = "model_card.json", "domain"
_INDEX = "model.safetensors.index.json"
_HASHED_FILES = (
    "config.json",
    "tiny_overrides.json",
    "preprocessor_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
)


def find_checkpoint(name: str) -> Path:
    """The local folder of a bundled checkpoint, a path, or a hub id (fetched if it is not cached).

    Raises CheckpointError if there is none.
    """
    if name == BUNDLED:
        folder = Path(__file__).resolve().parent.parent / "assets" / BUNDLED
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"the bundled model {BUNDLED} is missing from this installation")
        return folder
    if Path(name).is_dir():
        return Path(name).resolve()
    if Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise CheckpointError(
            f"{name}: no such folder; --model takes a folder, a hub id (owner/name) or {BUNDLED}"
        )
    return _fetch_from_hub(name)


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises its own errors and those of its HTTP client
        refuse_full_disk(error)
        raise CheckpointError(
            f"{name}: not a folder, and the hub does not provide it: {error}".splitlines()[0]
        ) from error


def list_weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those that its index names, else the single file.

    Raises CheckpointError if one of them is missing, or if the index is damaged.
    """
    index = folder / _INDEX
    if index.is_file():
        names = _names_in(index)
    else:
        names = [SINGLE_FILE]
    files = [folder / name for name in names]
    missing = [_printable(file.name) for file in files if not _is_there(file)]
    if missing:
        raise CheckpointError(f"{folder}: no {', '.join(missing)}")
    return files


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # its name is too long
        return False


def _names_in(index: Path) -> list[str]:
    """The names of the files in an index, which lie in its folder."""
    try:
        names = parse_json(index.read_text(encoding="utf-8"))["weight_map"].values()
        if not names or any(name != Path(name).name for name in names):
            raise ValueError("its weight_map names no files of this folder")
        return sorted(set(names))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{index}: not an index of weight files: {reason}") from None


def model_domain(folder: Path) -> str | None:
    """The only pictures that the model knows, in words, as its `model_card.json` states; None without one.

    The card changes no output, so it is not hashed.
    """
    try:
        card = parse_json((folder / MODEL_CARD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    domain = card.get(DOMAIN) if isinstance(card, dict) else None
    return domain if isinstance(domain, str) else None


def checkpoint_sha256(folder: Path) -> str:
    """SHA-256 of names and contents of the weight, configuration and tokenizer files, sorted by name.

    Raises CheckpointError if one of them is not as it was written, by the sums that the folder has.
    """
    sums = file_sums(folder)
    refuse_changed(folder, sums)
    return sha256_of_sums(sums)


def file_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 (hex) of each weight, configuration and tokenizer file, by its name."""
    files = [folder / name for name in _HASHED_FILES if (folder / name).is_file()]
    return {path.name: sha256_of(path) for path in files + list_weight_files(folder)}


def sha256_of_sums(sums: Mapping[str, str]) -> str:
    """That of a checkpoint, of those of its files."""
    digest = hashlib.sha256()
    for name in sorted(sums):
        digest.update(name.encode())
        digest.update(bytes.fromhex(sums[name]))
    return digest.hexdigest()
