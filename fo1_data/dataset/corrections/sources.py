"""Reads corrections from a JSON Lines file, local or remote, or from a review at the service.

An address that ends in `/corrections` is read page by page; `review:ID` is a review at `FO1_SERVICE_URL`.
The key in `FO1_API_KEY` is sent to that service only, to no other host.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import ValidationError

from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import ConfigError, CorpusError, DatasetError
from fo1_data.service_client import ServiceClient, corrections_address, read_corrections_at
from fo1_data.storage.addresses import is_web, normalise
from fo1_data.storage.streams import read_whole
from schemas.corrections import Correction, parse_corrections
from schemas.problems import problem_of_written


def read_corrections(source: str) -> list[Correction]:
    """Return all corrections of a source. Raises DatasetError naming the line, ConfigError, RunError."""
    if source.startswith("review:"):
        return _of_service(corrections_address(source.removeprefix("review:")))
    if is_web(source) and source.split("?")[0].endswith("/corrections"):
        return _of_service(source)
    return _of_file(source)


def read_followed(dataset: str) -> tuple[list[Correction], set[str]]:
    """Return all that counts now in the reviews that a dataset follows, and the keys of these reviews.

    They are the newest reviews of the dataset's images and of its tracks, and those whose corrections were
    merged into it, as far as the service at `FO1_SERVICE_URL` has them. Raises UsageError if it has none of
    them, ConfigError, RunError.
    """
    merged = open_dataset(dataset).history().corrections.values()
    with ServiceClient() as service:
        reviews = service.by_keys({correction.review for correction in merged} - {""})
        newest = [service.newest(dataset, tracks=tracks) for tracks in (False, True)]
        reviews |= {str(review["key"]): review for review in newest if review is not None}
        if not reviews:
            service.find(dataset)
    listed = [
        correction for review in reviews.values() for correction in read_corrections(f"review:{review['id']}")
    ]
    return listed, set(reviews)


def reviews_read_whole(source: str, corrections: Iterable[Correction]) -> set[str]:
    """Return the keys of the reviews of which the source holds all that counts: none if it is a file."""
    if source.startswith("review:"):
        with ServiceClient() as service:
            return {str(service.get(source.removeprefix("review:"))["key"])}
    if is_web(source) and urlsplit(source).path.endswith("/corrections") and not urlsplit(source).query:
        return {correction.review for correction in corrections} - {""}
    return set()


def _of_file(source: str) -> list[Correction]:
    try:
        return list(parse_corrections(read_whole(normalise(source)).decode().split("\n")))
    except CorpusError as error:
        raise ConfigError(f"--corrections: {error}") from None
    except ValueError as error:
        raise DatasetError(f"--corrections {source}: {error}") from None


def _of_service(address: str) -> list[Correction]:
    try:
        return [Correction.model_validate(item) for item in read_corrections_at(address)]
    except ValidationError as error:
        raise DatasetError(f"{address}: a correction is not valid: {problem_of_written(error)}") from None
