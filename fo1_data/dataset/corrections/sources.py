"""Where corrections come from: a JSON Lines file, local or remote, or a review at the service.

An address that ends in `/corrections` is asked page by page; a bare `review:ID` is looked for at
`FO1_SERVICE_URL`. The key in `FO1_API_KEY` is that service's, and is shown to no other host.
"""

import os
from collections.abc import Iterator
from typing import Any

import httpx
from pydantic import ValidationError

from fo1_data.errors import ConfigError, CorpusError, DatasetError, RunError
from fo1_data.storage.addresses import is_web, normalise
from fo1_data.storage.streams import read_whole
from schemas.corrections import Correction, parse_corrections

_SERVICE, _KEY = "FO1_SERVICE_URL", "FO1_API_KEY"
_TIMEOUT_S = 30.0


def read_corrections(source: str) -> list[Correction]:
    """All corrections of a source. Raises DatasetError naming the line, ConfigError, RunError."""
    if source.startswith("review:"):
        service = os.environ.get(_SERVICE)
        if not service:
            raise ConfigError(f"--corrections {source}: set {_SERVICE} to the service's address")
        review = source.removeprefix("review:")
        return list(_pages(f"{service.rstrip('/')}/v1/reviews/{review}/corrections"))
    if is_web(source) and source.split("?")[0].endswith("/corrections"):
        return list(_pages(source))
    return _of_file(source)


def _of_file(source: str) -> list[Correction]:
    try:
        return list(parse_corrections(read_whole(normalise(source)).decode().split("\n")))
    except CorpusError as error:
        raise ConfigError(f"--corrections: {error}") from None
    except ValueError as error:
        raise DatasetError(f"--corrections {source}: {error}") from None


def _pages(address: str) -> Iterator[Correction]:
    url: httpx.URL | None = _url(address)
    with httpx.Client(headers=_headers(_url(address)), timeout=_TIMEOUT_S) as client:
        while url is not None:
            page = _page(client, url)
            try:
                yield from (Correction.model_validate(item) for item in page.get("items", []))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise DatasetError(f"{address}: a correction is broken: {first['msg']}") from None
            cursor = page.get("next_cursor")
            url = url.copy_set_param("cursor", cursor) if cursor else None


def _headers(url: httpx.URL) -> dict[str, str]:
    """The key, where the address is of the service that it belongs to."""
    service, key = _url(os.environ.get(_SERVICE, "")), os.environ.get(_KEY)
    same = (service.scheme, service.host, service.port) == (url.scheme, url.host, url.port)
    return {"Authorization": f"Bearer {key}"} if same and key else {}


def _url(address: str) -> httpx.URL:
    try:
        return httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{address} is no address: {error}") from None


def _page(client: httpx.Client, url: httpx.URL) -> dict[str, Any]:
    address = url.copy_with(query=None)
    try:
        answer = client.get(url)
        if answer.status_code in (401, 403):
            raise ConfigError(
                f"{address} refuses ({answer.status_code}): set {_SERVICE} to that service, and {_KEY} "
                "to a key of it with the scope read"
            )
        answer.raise_for_status()
        page = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise RunError(f"{address} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(page, dict):
        raise RunError(f"{address} does not answer as a page of corrections")
    return page
