"""Datasets of the project as corpora: rows as another program changes them and writes them again."""

import copy
import io
import json
import random
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from changed_bytes import changed_anywhere
from factories import make_answer, make_count, make_row
from made_corpora import Made, Marks, Put, changed_document, marks_in
from odd_values import change, num_changes

from schemas.regions import TEXT_COLUMNS

_FILE = "data/train-00000.parquet"
_KEPT_TEXTS = tuple(kind.value for kind in TEXT_COLUMNS)


@cache
def _rows() -> list[dict[str, Any]]:
    rows = []
    for seed in range(2):
        row = make_row(seed)
        more = {"counts": [make_count(row.regions)], "answers": [make_answer(), make_answer()]}
        more["answers"][1].region_id = row.regions[0].region_id
        rows.append(row.model_copy(update=more).model_dump(mode="json"))
    return rows


def own_rows() -> list[dict[str, Any]]:
    """Two rows with all that the project writes, as JSON."""
    return copy.deepcopy(_rows())


def _said_by_people(rows: list[dict[str, Any]], marks: Marks) -> None:
    """Every statement is a person's, and has a mark of its own."""
    for row in rows:
        row["image"]["bytes"] = row["decision"] = None
        row["caption"] = marks.next()
        for region in row["regions"]:
            region |= {"box_source": "corpus", "source_label": marks.next()}
            for label in region["labels"]:
                label |= {"source": "human", "text": marks.next()}
        for column, key in (("groundings", "phrase"), ("counts", "phrase"), ("answers", "question")):
            for part in row[column]:
                part[key] = marks.next()
                part["label"]["source"] = "human"


def _put_in(number: int, row: dict[str, Any]) -> list[Put]:
    """What a row says that a corpus keeps."""
    said: list[Any] = [row.get("caption")]
    for region in _objects(row.get("regions")):
        texts = {label.get("kind"): label for label in _objects(region.get("labels")) if _is_kept(label)}
        said += [region.get("source_label")]
        said += [texts[kind].get("text") for kind in _KEPT_TEXTS if kind in texts]
    for column, key in (("groundings", "phrase"), ("counts", "phrase"), ("answers", "question")):
        said += [part.get(key) for part in _objects(row.get(column)) if _is_kept(part.get("label"))]
    return [Put(str(number), marks_in([text])) for text in said]


def _is_kept(label: Any) -> bool:
    return isinstance(label, dict) and label.get("source") != "model"


def _objects(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows in columns that fit them; a column that Arrow cannot hold is left out."""
    columns: dict[str, pa.Array] = {}
    for key in dict.fromkeys(str(key) for row in rows for key in row):
        try:
            key.encode()
            columns[key] = pa.array([row.get(key) for row in rows])
        except (pa.ArrowException, ValueError, TypeError, OverflowError, UnicodeError):
            continue
    return pa.table(columns)


def own_dataset(chance: random.Random) -> tuple[str, Made]:
    """A dataset's folder: the manifest and one file of rows, either of them changed."""
    rows: Any = own_rows()
    _said_by_people(rows, Marks())
    manifest: Any = {
        "schema_version": 2,
        "fingerprint": "ab" * 32,
        "version": "1",
        "config": {"proposals": "corpus", "labels": ["brief_caption"]},
        "files": [{"path": _FILE, "num_rows": 2, "num_bytes": 9, "sha256": "cd" * 32}],
    }
    is_other = chance.random() < 0.15
    if is_other:
        change(manifest, chance, num_changes(chance))
    else:
        rows = [row for row in changed_document(rows, chance) if isinstance(row, dict)]
    for row in rows:
        if isinstance(row.get("image"), dict) and chance.random() < 0.7:
            row["image"]["bytes"] = b"not opened"
    table, buffer = table_of(rows), io.BytesIO()
    try:
        pq.write_table(table, buffer)
    except (pa.ArrowException, ValueError, TypeError):
        is_other = True
    put = [part for number, row in enumerate(table.to_pylist()) for part in _put_in(number, row)]
    files = {"manifest.json": json.dumps(manifest, default=str).encode(), _FILE: buffer.getvalue()}
    if chance.random() < 0.1:
        files[_FILE], is_other = changed_anywhere(files[_FILE], chance), True
    return "own dataset", Made(files, "", put, is_damaged=is_other)
