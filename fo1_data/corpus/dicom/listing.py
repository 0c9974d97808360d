"""DICOM files as frames: each frame of a file is an image of its own.

Only headers are read. Of series and instance `meta` has keyed hashes, so that images of one series can be
found, and kept in one split, without their UIDs.
"""

from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.dicom.burned_in import why_text_is_possible
from fo1_data.corpus.dicom.directory import read_directory
from fo1_data.corpus.dicom.files import (
    NO_READER,
    is_dicom,
    is_directory,
    open_dicom,
    read_header,
    refused,
    without_quotes,
)
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.frame_names import frame_of_number
from fo1_data.corpus.hidden_addresses import hidden_address, keyed_hash
from fo1_data.corpus.listing import Item
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import ConfigError, CorpusError, InputReject
from schemas.corpus import CorpusImage
from schemas.images import Reject

BURNED_IN = "burned_in_text"
# The key of `meta` that says which frame of what a picture shows, and how values became grey.
META = "dicom"


class DicomFrames:
    """Finds the DICOM files of a corpus. `found`: whether there was one so far.

    max_bytes: of a file, as the limits of the run.
    """

    def __init__(self, settings: DicomSettings, max_bytes: int) -> None:
        self.found = False
        self._taken: set[str] = set()
        self._settings, self._max_bytes = settings, max_bytes

    def takes(self, address: str, whatever_name: bool = False) -> bool:
        """Whether a file is DICOM; see `is_dicom`. What was taken once, whatever its name, is taken again."""
        is_found = address in self._taken or is_dicom(address, whatever_name)
        if is_found and whatever_name:
            self._taken.add(address)
        self.found = self.found or is_found
        return is_found

    def is_directory(self, address: str) -> bool:
        """Whether a DICOM file is an index of others."""
        return is_directory(address)

    def read_directory(self, address: str) -> Iterator[Item]:
        """The files that a DICOMDIR names. Raises CorpusError if it cannot be read."""
        return read_directory(address, self._max_bytes)

    def list(self, entry: CorpusImage) -> Iterator[CorpusImage | Reject]:
        """The frames of a file in their order, or one reject."""
        try:
            with open_dicom(entry.origin, self._max_bytes) as file:
                header = read_header(file)
            count = check_header(header, self._settings)
            series, instance = hashes_of(header)
        except ConfigError as error:
            yield self._reject(entry, NO_READER, str(error))
            return
        except InputReject as error:
            yield self._reject(entry, error.reason, error.message)
            return
        except (CorpusError, OSError):
            yield self._reject(entry, "unreadable", "the file cannot be read")
            return
        for number in range(1, count + 1):
            facts = {"series": series, "instance": instance, "frame": number, "frames": count}
            meta = {**(entry.meta or {}), META: facts}
            yield entry.model_copy(update={"inner": frame_of_number(number), "meta": meta})

    def _reject(self, entry: CorpusImage, reason: str, message: str) -> Reject:
        address = entry.uri if self._settings.keep_paths else hidden_address(entry.uri)
        return listing_reject(address, reason, message)


def check_header(header: Any, settings: DicomSettings) -> int:
    """The number of frames of a file that may be shown. Raises InputReject for any other."""
    # Values are parsed when they are first asked for.
    with without_quotes("header"):
        return _checked(header, settings)


def _checked(header: Any, settings: DicomSettings) -> int:
    if header.get("Rows") is None or header.get("Columns") is None:
        raise refused("no_pixels", "the file has no pixels (a report, a plan, a structure or an index)")
    count = _num_frames(header)
    if count > settings.max_frames:
        raise refused(
            "too_many_frames", f"{count} frames are over the limit dicom_max_frames = {settings.max_frames}"
        )
    why = why_text_is_possible(header)
    if why is not None and not settings.allow_burned_in_text:
        raise refused(
            BURNED_IN,
            f"its pixels may name the patient: {why}. --allow-burned-in-text labels it all the same",
        )
    return count


def _num_frames(header: Any) -> int:
    try:
        count = int(header.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise refused("broken", "the number of its frames cannot be read")
    return count


def hashes_of(header: Any) -> tuple[str | None, str | None]:
    """Keyed hashes of the UIDs of series and instance; None where the file has none."""
    with without_quotes("header"):
        uids = (header.get("SeriesInstanceUID"), header.get("SOPInstanceUID"))
    series, instance = (keyed_hash(str(uid)) if uid else None for uid in uids)
    return series, instance
