"""Reading one image of a shard."""

import logging
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from fo1_data.labelling.reading import EntryReader
from fo1_data.model.processing import ResizedImage
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig


def test_what_a_decoder_warns_of_is_logged(corpora: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = corpora / "bad_inputs/images"
    reader = EntryReader(RunConfig(corpus="-", out="-"), _not_resized)
    with caplog.at_level(logging.INFO, "fo1.labeller"):
        read = reader.read(CorpusImage(uri=str(images / "exif_broken/sugarshack_bad_mpo_header.jpg")))
    assert read.image is not None
    (record,) = caplog.records
    assert record.getMessage().startswith("decoded with a warning: ")
    assert "MPO" in record.getMessage()


def _not_resized(image: Image.Image) -> ResizedImage:
    return cast("ResizedImage", image)
