"""`base_weights.json`: where a VLM-FO1's weights came from, and a hash of each as it was then.

A hash is of the shape and of the values as float32, so it does not change with the dtype of a file.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.storage.json_text import parse_object

BASE_RECORD = "base_weights.json"


@dataclass(frozen=True)
class SourceWeights:
    """One of the two sources. name: as it was given. sha256: hashes by the weights' released names. rows: of
    weights whose first rows alone are the source's, how many these are."""

    name: str
    model_type: str
    licence: str | None
    sha256: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, tensor: Tensor, rows: int | None = None) -> None:
        """Record a weight, or its first `rows` rows."""
        if rows is not None:
            self.rows[name] = rows
        self.sha256[name] = _sha256(tensor[:rows])


@dataclass(frozen=True)
class BaseRecord:
    """The base and the auxiliary tower that a VLM-FO1 was made of, and the seed of what is new."""

    base: SourceWeights
    auxiliary: SourceWeights
    seed: int

    @property
    def licence(self) -> str:
        """The licences of both, for every row that the checkpoint will label."""
        stated = [(self.base, "base"), (self.auxiliary, "auxiliary tower")]
        return "; ".join(f"{part}: {source.licence or 'not stated'}" for source, part in stated)

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / BASE_RECORD).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_base_record(folder: Path) -> BaseRecord | None:
    """The record of a checkpoint; None if it has none. Raises CheckpointError if it is damaged."""
    path = folder / BASE_RECORD
    if not path.is_file():
        return None
    try:
        document = parse_object(path.read_text(encoding="utf-8"))
        base, auxiliary = (_source(document[part]) for part in ("base", "auxiliary"))
        return BaseRecord(base, auxiliary, int(document["seed"]))
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: not a record of base weights: {error}") from error


def _source(document: Any) -> SourceWeights:
    source = SourceWeights(**document)
    hashes, rows = source.sha256, source.rows
    if not isinstance(hashes, dict) or not all(isinstance(text, str) for text in hashes.values()):
        raise TypeError("sha256 are no hashes by name")
    if not isinstance(rows, dict) or not all(type(num) is int for num in rows.values()):
        raise TypeError("rows are no numbers by name")
    return source


def changed_weights(source: SourceWeights, tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of a source's weights that are missing or differ from what they were, sorted."""
    same = {
        name
        for name, tensor in tensors
        if name in source.sha256 and _sha256(tensor[: source.rows.get(name)]) == source.sha256[name]
    }
    return sorted(set(source.sha256) - same)


def _sha256(tensor: Tensor) -> str:
    digest = hashlib.sha256(str(list(tensor.shape)).encode())
    values = tensor.detach().cpu().to(torch.float32).contiguous()
    digest.update(values.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
