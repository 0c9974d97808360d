"""The SHA-256 of the weights and tokenizer of a checkpoint, kept beside them: a byte that changed is found.

`SHA256SUMS` has the form of `sha256sum`, which checks it too. It lists no configuration, which people edit.
A folder without it, as older ones are, is taken as it is. Does not import torch.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from fo1_data.errors import CheckpointError

SUMS = "SHA256SUMS"
# What a checkpoint has beside its weights that decides answers and that nobody edits.
VOCABULARY = ("vocab.json", "merges.txt", "tokenizer.json")


def sha256_of(path: Path) -> str:
    """The SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget_sums(folder: Path) -> None:
    """Remove the sums, before a file that they list is replaced."""
    (folder / SUMS).unlink(missing_ok=True)


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Keep the sums of files of a folder, as they are now."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    partial = folder / f"{SUMS}.partial"
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(folder / SUMS)


def changed_files(folder: Path, found: Mapping[str, str]) -> list[str]:
    """The names of the files that are not as they were written. `found`: the sums of files by their names."""
    return [name for name, expected in _kept(folder).items() if found.get(name, expected) != expected]


def refuse_changed(folder: Path, found: Mapping[str, str]) -> None:
    """Raise CheckpointError if a file is not as it was written. `found`: as in `changed_files`."""
    for name in changed_files(folder, found)[:1]:
        raise CheckpointError(
            f"{folder / name} is damaged (its bytes are not those of {SUMS}): take it from a copy; if it "
            f"was changed on purpose, delete {SUMS} there"
        )


def find_changed(folder: Path) -> list[str]:
    """The names of the files that are not as they were written, or are gone. Reads all that are listed."""
    paths = {name: folder / name for name in _kept(folder)}
    return changed_files(
        folder, {name: sha256_of(path) if path.is_file() else "gone" for name, path in paths.items()}
    )


def _kept(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): delete it") from None
    parts = [line.partition("  ") for line in lines]
    return {name: digest for digest, _, name in parts}
