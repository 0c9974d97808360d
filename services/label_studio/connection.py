"""The connection to a Label Studio: label-studio-sdk's async client over connections of our own.

Reads are tried again on a broken connection or a 5xx; writes never are (the SDK's own retries are off),
because Label Studio may have taken them: whoever writes looks by its own key first. Every answer that is none
is one of the errors here. The token is either kind of Label Studio's: a legacy one, or a personal access
token, which only buys access tokens of five minutes. Times in seconds.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import httpx

from fo1_data.errors import RunError

READ_TRIES = 3
PAUSE_S = 0.3
READ_TIMEOUT_S = 60.0
WRITE_TIMEOUT_S = 60.0
_ACCESS_TOKEN_S = 240.0
Answer = TypeVar("Answer")
# What is asked of label-studio-sdk's client, with the options of the request.
Ask = Callable[[Any, dict[str, Any]], Awaitable[Answer]]


class LabelStudioError(RunError):
    """Label Studio does not do what was asked: its token is wrong, or its answer cannot be understood."""


class LabelStudioRefused(LabelStudioError):
    """Label Studio finds what was sent to be wrong (4xx)."""


class LabelStudioLost(LabelStudioError):
    """Label Studio cannot be reached, or fails: a write may or may not have been taken."""


class LabelStudioGone(LabelStudioError):
    """What was asked for is not in Label Studio (any more)."""


class Connection:
    """Asks one server. `what` names what is asked about in errors."""

    def __init__(
        self,
        url: str,
        token: str,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._write_timeout_s, self._pause_s = write_timeout_s, pause_s
        # Label Studio's development server closes idle connections without notice: keep none for long.
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=2.0)
        self._http = httpx.AsyncClient(
            base_url=self.url, timeout=READ_TIMEOUT_S, limits=limits, transport=transport, trust_env=False,
            auth=_TokenAuth(self.url, token),
        )  # fmt: skip
        self._sdk: Any = None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def read(self, what: str, ask: Ask[Answer]) -> Answer:
        """Ask for something; again where the way there breaks. Raises LabelStudioError."""
        return await self._tried(lambda: self._asked(what, ask, READ_TIMEOUT_S))

    async def write(self, what: str, ask: Ask[Answer]) -> Answer:
        """Ask for a change, once. Raises LabelStudioError; after LabelStudioLost it may have been made."""
        return await self._asked(what, ask, self._write_timeout_s)

    async def read_json(self, what: str, path: str, parameters: dict[str, Any]) -> Any:
        """The JSON at a path, past the SDK. Raises LabelStudioError."""
        return await self._tried(lambda: self._read_json(what, path, parameters))

    async def _tried(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        for attempt in range(1, READ_TRIES + 1):
            try:
                return await ask()
            except LabelStudioLost:
                if attempt == READ_TRIES:
                    raise
                await asyncio.sleep(self._pause_s * 2**attempt)
        raise AssertionError

    async def _asked(self, what: str, ask: Ask[Answer], timeout_s: float) -> Answer:
        if self._sdk is None:
            self._sdk = await asyncio.to_thread(_load_sdk, self.url, self._http)
        from label_studio_sdk.core.api_error import ApiError
        from label_studio_sdk.core.parse_error import ParsingError

        try:
            return await ask(self._sdk, {"timeout": timeout_s, "max_retries": 0})
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        except (ApiError, ParsingError) as error:
            raise self._error(what, error.status_code or 0, error.body) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The SDK builds its objects of whatever is answered, and looks at what they are made of later.
            raise LabelStudioError(f"what Label Studio says of {what} cannot be understood") from error

    async def _read_json(self, what: str, path: str, parameters: dict[str, Any]) -> Any:
        try:
            answer = await self._http.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        try:
            document = answer.json()
        except ValueError:
            document = answer.text
        if answer.status_code >= 300 or isinstance(document, str):
            raise self._error(what, answer.status_code, document)
        return document

    def _lost(self, error: httpx.HTTPError) -> LabelStudioLost:
        told = str(error) or type(error).__name__
        return LabelStudioLost(f"Label Studio at {self.url} does not answer: {told}")

    def _error(self, what: str, status: int, body: Any) -> LabelStudioError:
        if status >= 500 or status == 429:
            return LabelStudioLost(f"Label Studio at {self.url} fails ({status})")
        if status == 404:
            return LabelStudioGone(f"Label Studio has no {what}")
        if status in (401, 403):
            told = _told(body)
            return LabelStudioError(
                f"Label Studio refuses the token ({status}; FO1_LABEL_STUDIO_TOKEN): {told}"
            )
        if status >= 400:
            return LabelStudioRefused(f"Label Studio refuses ({status}): {_told(body)}")
        return LabelStudioError(f"{self.url} does not answer in JSON ({status}): no Label Studio?")


class _TokenAuth(httpx.Auth):
    """Puts the token on every request; the SDK would buy access tokens by a request that blocks the loop."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._access: tuple[str, float] | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The request with its token; before it one that buys an access token where none holds."""
        if self._token.count(".") != 2:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._access is None or self._access[1] < time.monotonic():
            limits = {"timeout": httpx.Timeout(READ_TIMEOUT_S).as_dict()}
            body = {"refresh": self._token}
            url = f"{self._url}/api/token/refresh"
            answer = yield httpx.Request("POST", url, json=body, extensions=limits)
            await answer.aread()
            self._access = (self._bought(answer), time.monotonic() + _ACCESS_TOKEN_S)
        request.headers["Authorization"] = f"Bearer {self._access[0]}"
        yield request

    def _bought(self, answer: httpx.Response) -> str:
        if answer.status_code >= 500:
            raise LabelStudioLost(f"Label Studio at {self._url} fails ({answer.status_code})")
        if answer.status_code >= 400:
            raise LabelStudioError("Label Studio refuses the personal access token: FO1_LABEL_STUDIO_TOKEN")
        try:
            return str(answer.json()["access"])
        except (ValueError, KeyError, TypeError):
            raise LabelStudioError(f"{self._url} gives no access token: no Label Studio?") from None


def _load_sdk(url: str, http: httpx.AsyncClient) -> Any:
    """The SDK's async client on `http`. Takes a second: not for the loop.

    `AsyncLabelStudio` is this class with helpers for labelling configurations and exports, which nothing here
    uses and which load pandas, OpenCV and 60 MiB more.
    """
    from label_studio_sdk.base_client import AsyncLabelStudioBase

    sdk = AsyncLabelStudioBase(base_url=url, api_key="put on by our own connection", httpx_client=http)
    for part in ("projects", "tasks", "webhooks", "users", "versions", "ml"):
        getattr(sdk, part)  # each is imported when it is asked for first
    return sdk


def _told(body: Any) -> str:
    told = body.get("validation_errors") or body.get("detail") or body if isinstance(body, dict) else body
    return " ".join(str(told).split())[:300]
