"""Finished datasets whose manifest, rows or bytes are not as written: `validate` and the readers."""

import hashlib
import io
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from changed_bytes import changed_anywhere
from dataset_corpora import own_rows, table_of
from factories import make_dataset, make_reject
from fuzz_outcomes import check_line, outcome_of
from fuzz_target import Runner, check
from made_corpora import damaged
from odd_values import change, num_changes

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import regular_batches
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import DatasetError
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA

_FILE = "data/train-00000.parquet"
_PARQUET = (_FILE, "rejects.parquet")


@contextmanager
def datasets(folder: Path) -> Iterator[Runner]:
    rows = [ImageRow.model_validate(row) for row in own_rows()]
    make_dataset(folder / "made", rows, [make_reject()])
    names = ("manifest.json", *_PARQUET)
    samples = {name: (folder / "made" / name).read_bytes() for name in names}
    place = folder / "changed"

    def run(chance: random.Random) -> str:
        files = dict(samples)
        way = _change(files, chance)
        shutil.rmtree(place, ignore_errors=True)
        (place / "data").mkdir(parents=True)
        for name, data in files.items():
            (place / name).write_bytes(data)
        problems = _problems(place)
        if chance.random() < 0.1:
            check(problems == _problems(place), "validate says something else the second time:", problems)
        is_sound = problems == []
        if files == samples:
            check(is_sound, "sound, and yet:", problems)
        elif way == "other bytes":
            check(not is_sound, "other bytes than the manifest's, and nothing is said")
        # What `validate` finds sound can be read; of anything else, one line says why it cannot.
        outcomes = {outcome_of(lambda: _read(place)), outcome_of(lambda: _read_columns(place))}
        check(not is_sound or outcomes == {"read"}, "sound, and yet:", outcomes)
        return f"{way}: {'sound' if is_sound else 'problems are named'}"

    yield run


def _problems(place: Path) -> list[str]:
    try:
        problems = validate_dataset(str(place))
    except DatasetError as error:
        problems = [str(error)]
    for problem in problems:
        check_line(problem)
    return problems


def _read(place: Path) -> None:
    dataset = open_dataset(str(place))
    for row in dataset.rows():
        check(ImageRow.model_validate(row.model_dump()) == row, "a row is none of the model:", row)
    list(dataset.rejects())


def _read_columns(place: Path) -> None:
    dataset = open_dataset(str(place))
    for file in dataset.data_files():
        for batch in regular_batches(dataset.store, file.path):
            check(batch.schema.equals(IMAGE_SCHEMA), "columns of another schema:", batch.schema)


def _change(files: dict[str, bytes], chance: random.Random) -> str:
    """Change a file in place; returns what was done."""
    way = chance.randrange(4)
    if way == 0:
        files["manifest.json"] = _changed_manifest(files["manifest.json"], chance)
        return "another manifest"
    name = chance.choice(_PARQUET)
    if way == 1:
        files[name] = _rewritten(files[name], name, chance)
    else:
        files[name] = changed_anywhere(files[name], chance)
    if way == 2:
        return "other bytes"
    files["manifest.json"] = _with_hash(files["manifest.json"], name, files[name])
    return "other rows" if way == 1 else "other bytes with their hash"


def _changed_manifest(data: bytes, chance: random.Random) -> bytes:
    document = json.loads(data)
    change(document, chance, num_changes(chance))
    return damaged(json.dumps(document, default=str), chance)[0]


def _with_hash(manifest: bytes, name: str, data: bytes) -> bytes:
    """The manifest of somebody who wrote the file again."""
    document = json.loads(manifest)
    for file in document["files"]:
        if file["path"] == name:
            file["sha256"], file["num_bytes"] = hashlib.sha256(data).hexdigest(), len(data)
    return json.dumps(document).encode()


def _rewritten(data: bytes, name: str, chance: random.Random) -> bytes:
    """Changed rows, in the columns of before where they fit, else in columns that fit them."""
    table = pq.read_table(io.BytesIO(data))
    rows: list[Any] = table.to_pylist()
    for row in rows:
        if isinstance(row.get("image"), dict):
            row["image"]["bytes"] = None
    change(rows, chance, num_changes(chance))
    rows = [row for row in rows if isinstance(row, dict)]
    try:
        changed = pa.Table.from_pylist(rows, schema=table.schema)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, UnicodeError, AttributeError):
        changed = table_of(rows)
    buffer = io.BytesIO()
    try:
        pq.write_table(changed, buffer)
    except (pa.ArrowException, ValueError, TypeError):
        return b"PAR1"
    return buffer.getvalue()
