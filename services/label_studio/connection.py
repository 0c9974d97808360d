"""The connection to a Label Studio: label-studio-sdk's async client over our own HTTP client.

Reads are tried again after a broken connection or a 5xx. Writes are not (the SDK's own retries are off),
because Label Studio may have accepted them: whoever writes looks for the result by its own key first. Every
failure is one of the errors defined here. Both kinds of token work: a legacy token, and a personal access
token, which is exchanged for access tokens that hold for five minutes. Times in seconds.
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
# A call of label-studio-sdk's client, which takes the client and the options of the request.
Request = Callable[[Any, dict[str, Any]], Awaitable[Answer]]


class LabelStudioError(RunError):
    """A request to Label Studio failed: the token is wrong, or the answer cannot be understood."""


class LabelStudioRefused(LabelStudioError):
    """Label Studio rejects what was sent (4xx)."""


class LabelStudioLost(LabelStudioError):
    """Label Studio cannot be reached, or fails (5xx): a write may or may not have been accepted."""


class LabelStudioGone(LabelStudioError):
    """The requested object does not exist in Label Studio, or no longer (404)."""


class Connection:
    """Sends requests to one server. `subject`: what a request is about, for error messages."""

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

    async def read(self, subject: str, request: Request[Answer]) -> Answer:
        """Send a reading request, again if the connection fails. Raises LabelStudioError."""
        return await self._with_retries(lambda: self._call(subject, request, READ_TIMEOUT_S))

    async def write(self, subject: str, request: Request[Answer]) -> Answer:
        """Send a writing request, once. Raises LabelStudioError; LabelStudioLost: it may have been made."""
        return await self._call(subject, request, self._write_timeout_s)

    async def read_json(self, subject: str, path: str, parameters: dict[str, Any]) -> Any:
        """Return the JSON at a path, past the SDK. Raises LabelStudioError."""
        return await self._with_retries(lambda: self._read_json(subject, path, parameters))

    async def _with_retries(self, send: Callable[[], Awaitable[Answer]]) -> Answer:
        for attempt in range(1, READ_TRIES + 1):
            try:
                return await send()
            except LabelStudioLost:
                if attempt == READ_TRIES:
                    raise
                await asyncio.sleep(self._pause_s * 2**attempt)
        raise AssertionError

    async def _call(self, subject: str, request: Request[Answer], timeout_s: float) -> Answer:
        if self._sdk is None:
            self._sdk = await asyncio.to_thread(_load_sdk, self.url, self._http)
        from label_studio_sdk.core.api_error import ApiError
        from label_studio_sdk.core.parse_error import ParsingError

        try:
            return await request(self._sdk, {"timeout": timeout_s, "max_retries": 0})
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        except (ApiError, ParsingError) as error:
            raise self._error(subject, error.status_code or 0, error.body) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The SDK builds objects from any answer without validating it, so wrong fields show up late.
            raise LabelStudioError(f"Label Studio's answer about {subject} cannot be understood") from error

    async def _read_json(self, subject: str, path: str, parameters: dict[str, Any]) -> Any:
        try:
            answer = await self._http.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        try:
            document = answer.json()
        except ValueError:
            document = answer.text
        if answer.status_code >= 300 or isinstance(document, str):
            raise self._error(subject, answer.status_code, document)
        return document

    def _lost(self, error: httpx.HTTPError) -> LabelStudioLost:
        reason = str(error) or type(error).__name__
        return LabelStudioLost(f"Label Studio at {self.url} does not answer: {reason}")

    def _error(self, subject: str, status: int, body: Any) -> LabelStudioError:
        if status >= 500 or status == 429:
            return LabelStudioLost(f"Label Studio at {self.url} fails ({status})")
        if status == 404:
            return LabelStudioGone(f"Label Studio has no {subject}")
        if status in (401, 403):
            return LabelStudioError(
                f"Label Studio refuses the token ({status}; FO1_LABEL_STUDIO_TOKEN): {_reason(body)}"
            )
        if status >= 400:
            return LabelStudioRefused(f"Label Studio refuses ({status}): {_reason(body)}")
        return LabelStudioError(f"{self.url} does not answer in JSON ({status}): is it a Label Studio?")


class _TokenAuth(httpx.Auth):
    """Adds the token to every request. (The SDK would fetch access tokens in a way that blocks the loop.)"""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._access: tuple[str, float] | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Yield the request with its token; before it a request for an access token if none is valid."""
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
            self._access = (self._access_token(answer), time.monotonic() + _ACCESS_TOKEN_S)
        request.headers["Authorization"] = f"Bearer {self._access[0]}"
        yield request

    def _access_token(self, answer: httpx.Response) -> str:
        if answer.status_code >= 500:
            raise LabelStudioLost(f"Label Studio at {self._url} fails ({answer.status_code})")
        if answer.status_code >= 400:
            raise LabelStudioError("Label Studio refuses the personal access token: FO1_LABEL_STUDIO_TOKEN")
        try:
            return str(answer.json()["access"])
        except (ValueError, KeyError, TypeError):
            raise LabelStudioError(f"{self._url} gives no access token: is it a Label Studio?") from None


def _load_sdk(url: str, http: httpx.AsyncClient) -> Any:
    """Return the SDK's async client on `http`. Takes a second: do not call it on the event loop.

    `AsyncLabelStudio` is this class with helpers for labelling configurations and exports. Nothing here uses
    them, and they load pandas, OpenCV and 60 MiB more.
    """
    from label_studio_sdk.base_client import AsyncLabelStudioBase

    sdk = AsyncLabelStudioBase(base_url=url, api_key="added by our own connection", httpx_client=http)
    for part in ("projects", "tasks", "webhooks", "users", "versions", "ml"):
        getattr(sdk, part)  # the first access imports it
    return sdk


def _reason(body: Any) -> str:
    reason = body.get("validation_errors") or body.get("detail") or body if isinstance(body, dict) else body
    return " ".join(str(reason).split())[:300]
