"""Parquet lists whose bytes are damaged: refused in one line, or their rows up to the damage are read."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fo1_data.corpus.readers import load_listing
from fo1_data.errors import ConfigError, CorpusError
from fo1_data.proposals.file_boxes import FileBoxes


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    boxes = [[{"box_xyxy": [1.0, 2.0, 3.0, 4.0], "label": "cat"}]] * 3
    table = pa.table({"image": ["a.png", "b.png", "c.png"], "regions": boxes})
    pq.write_table(table, tmp_path / "sound.parquet")
    return (tmp_path / "sound.parquet").read_bytes()


def damaged(data: bytes, seed: int) -> bytes:
    """Three bytes of the half that says where everything is are others."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(3):
        changed[chance.randrange(len(data) // 2, len(data) - 8)] = chance.randrange(256)
    return bytes(changed)


def refusal(read: Callable[[], object]) -> str | None:
    """What a reader says if it refuses the file."""
    try:
        read()
    except (CorpusError, ConfigError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path: Path, data: bytes, seed: int) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(damaged(data, seed))
    for said in (refusal(lambda: load_listing(str(path))), refusal(lambda: FileBoxes(str(path)))):
        assert said is None or (str(path) in said and "\n" not in said)


def test_most_damage_is_found(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list.parquet"
    refused = 0
    for seed in range(60):
        path.write_bytes(damaged(data, seed))
        refused += refusal(lambda: load_listing(str(path))) is not None
    assert 20 < refused < 60


def test_a_text_that_is_not_utf_8_ends_the_rows_with_a_reject(tmp_path: Path) -> None:
    names = pa.array([b"a.png", b"b\xff.png"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"image": names}), tmp_path / "list.parquet")
    listing = load_listing(str(tmp_path / "list.parquet"))
    assert [reject.reason for reject in listing.rejects] == ["bad_rows"]
