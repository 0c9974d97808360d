"""Reads of an image that must end as a reject."""

from typing import Any

import pytest

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage

LIMITS = InputLimits(max_bytes=1000, download_timeout_s=10.0)


def rejected(uri: str, limits: InputLimits = LIMITS, **fields: Any) -> InputReject:
    with pytest.raises(InputReject) as caught:
        read_bytes(CorpusImage(uri=uri, **fields), limits)
    assert caught.value.stage == "fetch"
    assert "\n" not in caught.value.message
    return caught.value
