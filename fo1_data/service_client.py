"""The HTTP client of the service: pushes, finds and pulls reviews, reads their corrections. Blocking.

The service's address is FO1_SERVICE_URL, its key FO1_API_KEY. Times in seconds.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from fo1_data.errors import ConfigError, RunError, UsageError
from fo1_data.storage.addresses import normalise
from schemas.reviews import AsideReason, ReviewOptions, ReviewState

URL_VARIABLE, KEY_VARIABLE = "FO1_SERVICE_URL", "FO1_API_KEY"
TIMEOUT_S = 30.0
PULL_TIMEOUT_S = 3600.0
POLL_S = 0.5


class ServiceClient:
    """A client of the service's `/v1/reviews`. Use as a context manager.

    Every method raises ConfigError (401, 403), UsageError (other 4xx) and RunError (any other failure).
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        url = url or os.environ.get(URL_VARIABLE) or ""
        key = key or os.environ.get(KEY_VARIABLE) or ""
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"set {URL_VARIABLE} to the address of the service, such as http://127.0.0.1:8080"
            )
        if not key:
            raise ConfigError(
                f"set {KEY_VARIABLE} to a key with the scope review (fo1 keys create --scope review)"
            )
        self._http = httpx.Client(
            base_url=_parse_url(url.rstrip("/")), headers=_authorization(key), timeout=TIMEOUT_S
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def push(self, dataset: str, title: str | None, options: ReviewOptions) -> dict[str, Any]:
        """Request a push of a dataset (its folder or id); return the review as it is then."""
        body = {
            "dataset": _dataset_address(dataset),
            **options.model_dump(mode="json", exclude_defaults=True),
        }
        if title is not None:
            body["title"] = title
        return self._request("POST", "/v1/reviews", json=body)

    def get(self, review_id: str) -> dict[str, Any]:
        """Return a review."""
        return self._request("GET", f"/v1/reviews/{quote(review_id, safe='')}")

    def find(self, dataset: str, *, tracks: bool = False) -> dict[str, Any]:
        """Return the newest review of a dataset, or the review of this id. Raises UsageError if none is.

        tracks: that of its tracks; else that of its images.
        """
        if dataset.startswith("rev_"):
            return self.get(dataset)
        review = self.newest(dataset, tracks=tracks)
        if review is None:
            option = " --tracks" if tracks else ""
            what = f"the tracks of {dataset} were" if tracks else f"{dataset} was"
            raise UsageError(f"{what} not pushed to this service: fo1 review push {dataset}{option}")
        return review

    def newest(self, dataset: str, *, tracks: bool) -> dict[str, Any] | None:
        """Return the newest review of a dataset's tracks, or of its images; None if the service has none."""
        parameters: dict[str, Any] = {"dataset": _dataset_address(dataset), "limit": 100}
        while True:
            page = self._page("/v1/reviews", parameters)
            for review in page["items"]:
                if review.get("tracks", False) is tracks:
                    found: dict[str, Any] = review
                    return found
            if page.get("next_cursor") is None:
                return None
            parameters["cursor"] = page["next_cursor"]

    def by_keys(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the newest review of each of these keys that the service has."""
        found: dict[str, dict[str, Any]] = {}
        for key in sorted(keys):
            page = self._page("/v1/reviews", {"key": key, "limit": 1})
            found |= {review["key"]: review for review in page["items"]}
        return found

    def pull(self, review_id: str) -> dict[str, Any]:
        """Pull what people did since the last pull; return the review with the pull's numbers."""
        return self._request("POST", f"/v1/reviews/{quote(review_id, safe='')}/pull", timeout=PULL_TIMEOUT_S)

    def set_aside(self, review_id: str) -> list[dict[str, Any]]:
        """Return all annotations of a review that are set aside, newest first."""
        found: list[dict[str, Any]] = []
        parameters: dict[str, Any] = {"limit": 100}
        while True:
            page = self._page(f"/v1/reviews/{quote(review_id, safe='')}/set-aside", parameters)
            found += page["items"]
            if page.get("next_cursor") is None:
                return found
            parameters["cursor"] = page["next_cursor"]

    def take_in(
        self, review_id: str, annotations: Sequence[int] | None, kind: AsideReason | None
    ) -> dict[str, Any]:
        """Believe annotations that were set aside, by id or by reason; return the review."""
        body = {"annotations": list(annotations)} if annotations else {"kind": kind}
        return self._request("POST", f"/v1/reviews/{quote(review_id, safe='')}/take-in", json=body)

    def wait(
        self, review_id: str, timeout_s: float, on_poll: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Wait until all items are in Label Studio. Raises RunError if that fails or takes too long."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            review = self.get(review_id)
            on_poll(review)
            if review["state"] == ReviewState.OPEN:
                return review
            if review["state"] == ReviewState.FAILED:
                raise RunError(f"the push failed: {review['error']}")
            if time.monotonic() > deadline_s:
                raise RunError(
                    f"the push is not done after {timeout_s:.0f} s ({review['error'] or review['state']}); "
                    "the service continues it: see fo1 review status"
                )
            time.sleep(POLL_S)

    def _page(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        page = self._request("GET", path, params=parameters)
        if not isinstance(page.get("items"), list):
            raise self._stranger()
        return page

    def _stranger(self) -> RunError:
        return RunError(f"{self._http.base_url} does not answer as fo1 serve does")

    def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise RunError(f"the service at {self._http.base_url} does not answer: {error}") from None
        try:
            document = answer.json()
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._stranger()
        detail = document.get("detail", answer.status_code)
        if answer.status_code in (401, 403):
            raise ConfigError(f"{KEY_VARIABLE}: {detail}")
        if answer.status_code >= 500:
            raise RunError(f"the service: {detail}")
        if answer.status_code >= 400:
            raise UsageError(str(detail))
        return document


def corrections_address(review_id: str) -> str:
    """Return the address of a review's corrections at FO1_SERVICE_URL. Raises ConfigError if unset."""
    service = os.environ.get(URL_VARIABLE)
    if not service:
        raise ConfigError(f"--corrections review:{review_id}: set {URL_VARIABLE} to the service's address")
    return f"{service.rstrip('/')}/v1/reviews/{review_id}/corrections"


def read_corrections_at(address: str) -> Iterator[Any]:
    """Yield the JSON of the corrections at an address that ends in `/corrections`, page by page.

    The key is sent only if the address is on the host of FO1_SERVICE_URL. Raises ConfigError, RunError.
    """
    url: httpx.URL | None = _parse_url(address)
    with httpx.Client(headers=_key_header(_parse_url(address)), timeout=TIMEOUT_S) as client:
        while url is not None:
            page = _read_page(client, url)
            yield from page["items"]
            cursor = page.get("next_cursor")
            url = url.copy_set_param("cursor", cursor) if cursor else None


def _key_header(url: httpx.URL) -> dict[str, str]:
    service, key = _parse_url(os.environ.get(URL_VARIABLE, "")), os.environ.get(KEY_VARIABLE)
    same_host = (service.scheme, service.host, service.port) == (url.scheme, url.host, url.port)
    return _authorization(key) if same_host and key else {}


def _authorization(key: str) -> dict[str, str]:
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{KEY_VARIABLE} is no key: it holds characters that no key has")
    return {"Authorization": f"Bearer {key}"}


def _parse_url(address: str) -> httpx.URL:
    try:
        return httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{address} is not a valid address: {error}") from None


def _read_page(client: httpx.Client, url: httpx.URL) -> dict[str, Any]:
    address = url.copy_with(query=None)
    try:
        answer = client.get(url)
        if answer.status_code in (401, 403):
            raise ConfigError(
                f"{address} refuses ({answer.status_code}): set {URL_VARIABLE} to that service, and "
                f"{KEY_VARIABLE} to a key of it with the scope read"
            )
        answer.raise_for_status()
        page = answer.json()
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        raise RunError(f"{address} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise RunError(f"{address} does not answer with a page of corrections")
    return page


def _dataset_address(dataset: str) -> str:
    """Return a dataset as the service names it: local folders as absolute paths, ids and URLs unchanged."""
    is_id = dataset.startswith("ds_") and not Path(dataset).exists()
    return dataset if is_id else normalise(dataset)
