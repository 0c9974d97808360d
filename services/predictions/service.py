"""Sends live questions to the Predictor: first with the image's id, with its bytes only if it needs them."""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable

import httpx
from pydantic import ValidationError

from fo1_data.errors import ClusterError
from schemas.live import NEEDS_BYTES, LiveAnswer, LiveQuestion, LiveRequest
from schemas.rasters import RasterRecord
from services.jobs.ray_jobs import RayUnreachable
from services.predictions.deployment import PredictorDeployment, PredictorPlace
from services.problems import Problem

# How long a question waits for a Predictor that is starting; after that the answer says to retry.
START_WITHIN_S = 20.0
_RETRY_S = 0.5
_TIMEOUT_S = 60.0
_PLACE_FRESH_S = 10.0
_AGAIN = {"Retry-After": "5"}
_log = logging.getLogger("fo1.service")

FetchBytes = Callable[[], Awaitable[bytes]]


class Predictions:
    """Sends the live questions of one service process."""

    def __init__(
        self, deployment: PredictorDeployment, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._deployment = deployment
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, transport=transport, trust_env=False)
        self._cached: tuple[float, PredictorPlace] | None = None
        self._absent_since_s: float | None = None
        self._preparing: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Start the Predictor in the background, before anybody asks it."""
        self._preparing = asyncio.create_task(self._prepare())

    async def ask(
        self, image_id: str, question: LiveQuestion, fetch: FetchBytes, raster: RasterRecord | None = None
    ) -> LiveAnswer:
        """Return the Predictor's answer; `raster`: what a raster's row records of its colours.

        Raises a Problem: 422 for a bad question, 503 without an answer.
        """
        request = LiveRequest(image_id=image_id, raster=raster, **question.model_dump())
        answer = await self._post(request)
        if answer.status_code == NEEDS_BYTES:
            data = await fetch()
            encoded = base64.b64encode(data).decode()
            answer = await self._post(request.model_copy(update={"image_base64": encoded}))
        if answer.status_code == 422:
            raise Problem(422, str(answer.json().get("detail", "the question cannot be answered")))
        if answer.status_code != 200:
            raise Problem(503, f"live prediction answers {answer.status_code}", _AGAIN)
        try:
            return LiveAnswer.model_validate_json(answer.content)
        except ValidationError:
            raise Problem(503, "the answer of live prediction cannot be understood", _AGAIN) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._client.aclose()

    async def _post(self, request: LiveRequest) -> httpx.Response:
        """Send a request, again while the Predictor starts. Raises a Problem of 503 that says why."""
        started_s = time.monotonic()
        deadline_s = started_s + START_WITHIN_S
        body = request.model_dump_json(exclude_none=True)
        while True:
            try:
                place = await self._place(max(0.0, deadline_s - time.monotonic()))
                progress = place.progress
                headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
                answer = await self._client.post(
                    place.url, content=body, headers={**headers, "content-type": "application/json"}
                )
                # Ray Serve's proxy is up before the deployment is.
                if answer.status_code not in (404, 503):
                    self._absent_since_s = None
                    return answer
                progress = "the model loads"
            except RayUnreachable as error:
                progress = str(error)
            except httpx.HTTPError:
                self._cached = None
            now_s = time.monotonic()
            self._absent_since_s = self._absent_since_s or started_s
            if now_s >= deadline_s:
                seconds = round(now_s - self._absent_since_s)
                text = f"live prediction is starting ({progress}; {seconds} s so far): ask again in a moment"
                raise Problem(503, text, _AGAIN, progress=progress)
            await asyncio.sleep(_RETRY_S)

    async def _prepare(self) -> None:
        while True:
            try:
                await self._place(None)
                return
            except RayUnreachable:
                await asyncio.sleep(_RETRY_S)
            except Problem as error:
                _log.warning("%s", error.detail)
                return

    async def _place(self, wait_s: float | None) -> PredictorPlace:
        if self._cached is not None and time.monotonic() - self._cached[0] < _PLACE_FRESH_S:
            return self._cached[1]
        try:
            place = await self._deployment.place(wait_s)
        except RayUnreachable:
            raise
        except ClusterError as error:
            raise Problem(503, f"live prediction cannot start: {error}", _AGAIN) from None
        self._cached = (time.monotonic(), place)
        return place
