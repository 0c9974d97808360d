"""Where corrections come from: a JSON Lines file, local or remote, or a review at the service.

An address that ends in `/corrections` is asked page by page, with the key in `FO1_API_KEY`; a bare
`review:ID` is looked for at `FO1_SERVICE_URL`.
"""

import os
from collections.abc import Iterator
from typing import Any

import httpx
from pydantic import ValidationError

from fo1_data.corpus.addresses import is_web
from fo1_data.corpus.storage import open_store
from fo1_data.errors import ConfigError, DatasetError, RunError
from schemas.corrections import Correction, parse_corrections

_TIMEOUT_S = 30.0


def read_corrections(source: str) -> list[Correction]:
    """All corrections of a source. Raises DatasetError naming the line, ConfigError, RunError."""
    if source.startswith("review:"):
        service = os.environ.get("FO1_SERVICE_URL")
        if not service:
            raise ConfigError(f"--corrections {source}: set FO1_SERVICE_URL to the service's address")
        review = source.removeprefix("review:")
        return list(_pages(f"{service.rstrip('/')}/v1/reviews/{review}/corrections"))
    if is_web(source) and source.split("?")[0].endswith("/corrections"):
        return list(_pages(source))
    return _of_file(source)


def _of_file(source: str) -> list[Correction]:
    folder, _, name = source.rpartition("/")
    try:
        text = open_store(folder or ("/" if source.startswith("/") else ".")).read_bytes(name).decode()
        return list(parse_corrections(text.splitlines()))
    except FileNotFoundError:
        raise ConfigError(f"--corrections {source}: there is no such file") from None
    except (OSError, RunError) as error:
        raise ConfigError(f"--corrections {source}: cannot be read: {error}") from None
    except ValueError as error:
        raise DatasetError(f"--corrections {source}: {error}") from None


def _pages(address: str) -> Iterator[Correction]:
    headers = {"Authorization": f"Bearer {os.environ.get('FO1_API_KEY', '')}"}
    cursor: str | None = None
    with httpx.Client(headers=headers, timeout=_TIMEOUT_S) as client:
        while True:
            page = _page(client, address, cursor)
            try:
                yield from (Correction.model_validate(item) for item in page.get("items", []))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise DatasetError(f"{address}: a correction is broken: {first['msg']}") from None
            cursor = page.get("next_cursor")
            if not cursor:
                return


def _page(client: httpx.Client, address: str, cursor: str | None) -> dict[str, Any]:
    try:
        answer = client.get(address, params={"cursor": cursor} if cursor else None)
        if answer.status_code in (401, 403):
            raise ConfigError(f"{address} refuses the key ({answer.status_code}): set FO1_API_KEY")
        answer.raise_for_status()
        page = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise RunError(f"{address} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(page, dict):
        raise RunError(f"{address} does not answer as a page of corrections")
    return page
