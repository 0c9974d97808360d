"""Reads corrections from a JSON Lines file, local or remote, or from a review at the service.

An address that ends in `/corrections` is read page by page; `review:ID` is a review at `FO1_SERVICE_URL`.
The key in `FO1_API_KEY` is sent to that service only, to no other host.
"""

from pydantic import ValidationError

from fo1_data.errors import ConfigError, CorpusError, DatasetError
from fo1_data.service_client import corrections_address, read_corrections_at
from fo1_data.storage.addresses import is_web, normalise
from fo1_data.storage.streams import read_whole
from schemas.corrections import Correction, parse_corrections


def read_corrections(source: str) -> list[Correction]:
    """Return all corrections of a source. Raises DatasetError naming the line, ConfigError, RunError."""
    if source.startswith("review:"):
        return _of_service(corrections_address(source.removeprefix("review:")))
    if is_web(source) and source.split("?")[0].endswith("/corrections"):
        return _of_service(source)
    return _of_file(source)


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
        message = error.errors(include_url=False)[0]["msg"]
        raise DatasetError(f"{address}: a correction is not valid: {message}") from None
