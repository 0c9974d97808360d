"""The reviews of a running service, asked over HTTP: what `fo1 review` uses. Blocking.

Address and key: FO1_SERVICE_URL and FO1_API_KEY. Times in seconds.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from fo1_data.errors import ConfigError, RunError, UsageError
from fo1_data.storage.addresses import normalise

TIMEOUT_S = 30.0
PULL_TIMEOUT_S = 3600.0
EVERY_S = 0.5


class RemoteReviews:
    """The service's `/v1/reviews`. Raises ConfigError, UsageError (4xx), RunError (all else)."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        url = url or os.environ.get("FO1_SERVICE_URL") or ""
        key = key or os.environ.get("FO1_API_KEY") or ""
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                "set FO1_SERVICE_URL to the address of the service, such as http://127.0.0.1:8080"
            )
        if not key:
            raise ConfigError(
                "set FO1_API_KEY to a key with the scope review (fo1 keys create --scope review)"
            )
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def push(self, dataset: str, **options: Any) -> dict[str, Any]:
        """Ask for a push of a dataset's folder (or id); the review as it is then."""
        given = {name: value for name, value in options.items() if value is not None}
        return self._ask("POST", "/v1/reviews", json={"dataset": address_of(dataset), **given})

    def get(self, review_id: str) -> dict[str, Any]:
        """A review."""
        return self._ask("GET", f"/v1/reviews/{review_id}")

    def find(self, dataset: str) -> dict[str, Any]:
        """The newest review of a dataset, or the review of that id. Raises UsageError where there is none."""
        if dataset.startswith("rev_"):
            return self.get(dataset)
        page = self._ask("GET", "/v1/reviews", params={"dataset": address_of(dataset), "limit": 1})
        if not page["items"]:
            raise UsageError(f"{dataset} was not pushed to this service: fo1 review push {dataset}")
        found: dict[str, Any] = page["items"][0]
        return found

    def pull(self, review_id: str) -> dict[str, Any]:
        """Bring in what people did since the last pull."""
        return self._ask("POST", f"/v1/reviews/{review_id}/pull", timeout=PULL_TIMEOUT_S)

    def wait(
        self, review_id: str, timeout_s: float, told: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Wait until everything is in Label Studio. Raises RunError where that fails or takes too long."""
        end = time.monotonic() + timeout_s
        while True:
            review = self.get(review_id)
            told(review)
            if review["state"] == "open":
                return review
            if review["state"] == "failed":
                raise RunError(f"the push failed: {review['error']}")
            if time.monotonic() > end:
                raise RunError(
                    f"the push is not done after {timeout_s:.0f} s ({review['error'] or review['state']}); "
                    "the service goes on with it: fo1 review status tells"
                )
            time.sleep(EVERY_S)

    def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            raise RunError(f"the service at {self._http.base_url} does not answer: {error}") from None
        try:
            document: dict[str, Any] = answer.json()
        except ValueError:
            raise RunError(f"{self._http.base_url} does not answer as fo1 serve does") from None
        if answer.status_code in (401, 403):
            raise ConfigError(f"FO1_API_KEY: {document.get('detail', answer.status_code)}")
        if answer.status_code >= 500:
            raise RunError(f"the service: {document.get('detail', answer.status_code)}")
        if answer.status_code >= 400:
            raise UsageError(str(document.get("detail", answer.status_code)))
        return document


def address_of(dataset: str) -> str:
    """A dataset as the service is told of it: local folders absolute, ids and URLs as they are."""
    is_id = dataset.startswith("ds_") and not Path(dataset).exists()
    return dataset if is_id else normalise(dataset)
