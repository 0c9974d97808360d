"""Pieces of a shard between their labelling and the shard's own file: what is written is what is read."""

from pathlib import Path

import pytest
from PIL import Image
from quick_labeller import FACTORY

from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.errors import StorageError
from fo1_data.runs.shard_labeller import LabellerSettings, ShardLabeller
from schemas.corpus import CorpusImage, Shard
from schemas.jobs import RunConfig


@pytest.mark.parametrize("place", range(10))
def test_a_damaged_piece_is_refused(place: int, tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    images = [CorpusImage(uri=str(tmp_path / name)) for name in ("a.png", "gone.png")]
    shard = Shard(index=0, shard_id="0" * 16, images=images)
    config = RunConfig(corpus=str(tmp_path), out=str(tmp_path / "out"), labels="brief_caption")
    labeller, options = ShardLabeller(LabellerSettings(config, FACTORY)), WriteOptions()
    piece = labeller.label_piece(shard, 0, 2, "a", options)
    report = labeller.assemble_shard(shard, [piece], "b", options)
    assert (report.counts.images, report.counts.rejected) == (1, 1)
    file = tmp_path / "out" / piece
    content = bytearray(file.read_bytes())
    content[len(content) * place // 10] ^= 0x10
    file.write_bytes(content)
    with pytest.raises(StorageError, match="was damaged"):
        labeller.assemble_shard(shard, [piece], "c", options)
