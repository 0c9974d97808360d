"""Ids that sort by creation time: a prefix, 10 characters of time and 16 random characters (base 32)."""

import secrets
import time
from typing import Annotated

from fastapi import Path

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Return an id such as `job_01k9v3q2r8c4x6m0t5w7y9z1b3`. Ids sort by time, to the millisecond."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = "".join(_DIGITS[value >> shift & 31] for shift in range(125, -5, -5))
    return f"{prefix}_{digits}"


DATASET_ID = r"^ds_[0-9a-z]{1,40}$"
REVIEW_ID = r"^rev_[0-9a-z]{1,40}$"
DatasetId = Annotated[str, Path(pattern=DATASET_ID)]
JobId = Annotated[str, Path(pattern=r"^job_[0-9a-z]{1,40}$")]
OperationId = Annotated[str, Path(pattern=r"^op_[0-9a-z]{1,40}$")]
ReviewId = Annotated[str, Path(pattern=REVIEW_ID)]
