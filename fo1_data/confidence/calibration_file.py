"""Reads and writes the calibration file: one JSON document at a path or URL."""

import hashlib
import json

from pydantic import ValidationError

from fo1_data.errors import CalibrationError, CorpusError, StorageError, first_line, refuse_full_disk
from fo1_data.storage.addresses import normalise
from fo1_data.storage.store import open_store, split_address
from fo1_data.storage.streams import read_whole
from schemas.calibration import CALIBRATION_VERSION, Calibration
from schemas.problems import problem_of_written


def write_calibration(calibration: Calibration, out: str) -> str:
    """Write a calibration to the path or URL `out`; returns the SHA-256 (hex) of the file.

    Raises CalibrationError if it cannot be written, StorageError on a full disk.
    """
    data = (json.dumps(calibration.model_dump(mode="json"), sort_keys=True) + "\n").encode()
    folder, name = split_address(out)
    try:
        open_store(folder).write_bytes(name, data)
    except (OSError, StorageError) as error:
        refuse_full_disk(error)
        raise CalibrationError(f"--out {out}: cannot be written: {error}") from None
    return hashlib.sha256(data).hexdigest()


def read_calibration(address: str) -> tuple[Calibration, str]:
    """The calibration at a path or URL, and the SHA-256 (hex) of the file.

    Raises CalibrationError, with a message of one line, if it cannot be read or is not a valid calibration.
    """
    try:
        data = read_whole(normalise(address))
    except CorpusError as error:
        raise CalibrationError(f"--calibration: {error}") from None
    try:
        document = json.loads(data)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > CALIBRATION_VERSION:
            raise CalibrationError(f"{address} has version {version}: use a newer fo1-data")
        return Calibration.model_validate(document), hashlib.sha256(data).hexdigest()
    except (ValueError, RecursionError) as error:
        reason = problem_of_written(error) if isinstance(error, ValidationError) else first_line(error)
        raise CalibrationError(
            f"{address} is not a calibration (make one with fo1 calibrate): {reason}"
        ) from None
