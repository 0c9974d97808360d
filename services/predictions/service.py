"""Ask the Predictor: the image by its id first, its bytes only where it does not hold them."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

import httpx
from pydantic import ValidationError

from fo1_data.errors import ClusterError
from schemas.live import NOT_HELD, LiveAnswer, LiveQuestion, LiveRequest
from services.predictions.deployment import PredictorDeployment, PredictorPlace
from services.problems import Problem

# How long a question waits for a Predictor that is only starting; the asker is told to come again then.
START_WITHIN_S = 60.0
_RETRY_S = 0.5
_TIMEOUT_S = 60.0
_PLACE_FRESH_S = 10.0
_AGAIN = {"Retry-After": "5"}

FetchBytes = Callable[[], Awaitable[bytes]]


class Predictions:
    """Live questions of one process of the service."""

    def __init__(
        self, deployment: PredictorDeployment, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._deployment = deployment
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, transport=transport, trust_env=False)
        self._known: tuple[float, PredictorPlace] | None = None

    async def ask(self, image_id: str, question: LiveQuestion, fetch: FetchBytes) -> LiveAnswer:
        """The Predictor's answer. Raises a Problem: 422 on a bad question, 503 where nobody answers."""
        asked = LiveRequest(image_id=image_id, **question.model_dump())
        answer = await self._post(asked)
        if answer.status_code == NOT_HELD:
            data = await fetch()
            encoded = base64.b64encode(data).decode()
            answer = await self._post(asked.model_copy(update={"image_base64": encoded}))
        if answer.status_code == 422:
            raise Problem(422, str(answer.json().get("detail", "the question cannot be answered")))
        if answer.status_code != 200:
            raise Problem(503, f"live prediction answers {answer.status_code}", _AGAIN)
        try:
            return LiveAnswer.model_validate_json(answer.content)
        except ValidationError:
            raise Problem(503, "live prediction answers in another form than ours", _AGAIN) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, asked: LiveRequest) -> httpx.Response:
        deadline_s = time.monotonic() + START_WITHIN_S
        body = asked.model_dump_json(exclude_none=True)
        while True:
            place = await self._place()
            headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
            try:
                answer = await self._client.post(
                    place.url, content=body, headers={**headers, "content-type": "application/json"}
                )
                # Serve's proxy is up before the deployment is.
                if answer.status_code not in (404, 503):
                    return answer
            except httpx.HTTPError:
                self._known = None
            if time.monotonic() >= deadline_s:
                raise Problem(503, "live prediction is starting; ask again in a moment", _AGAIN)
            await asyncio.sleep(_RETRY_S)

    async def _place(self) -> PredictorPlace:
        if self._known is not None and time.monotonic() - self._known[0] < _PLACE_FRESH_S:
            return self._known[1]
        try:
            place = await self._deployment.place()
        except ClusterError as error:
            raise Problem(503, f"live prediction cannot start: {error}", _AGAIN) from None
        self._known = (time.monotonic(), place)
        return place
