"""`Predictor`: live labelling as a Ray Serve deployment; the questions of many callers share a batch.

POST a `LiveRequest` as JSON to `/predict`. The response is a `LiveAnswer`, or `{"detail"}` with an error
status. `python -m actors.serving` deploys it on the cluster that it runs on and stays until it is stopped.
If FO1_PREDICT_TOKEN is set, requests must carry it as a bearer token.
"""

import argparse
import asyncio
import hmac
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from actors.placement import hide_unreserved_gpus, listen_on_loopback
from schemas.live import LiveAnswer, LiveRequest

if TYPE_CHECKING:
    from fo1_data.labelling.live import LiveProblem

TOKEN = "FO1_PREDICT_TOKEN"
APP_NAME = "fo1-predict"
ROUTE = "/predict"
MAX_BATCH = 16
# How long the first request of a batch waits for others.
BATCH_WAIT_S = 0.005


class Predictor:
    """One process of live labelling. Requests that arrive while a batch is answered form the next batch."""

    def __init__(self, model: str, device: str | None) -> None:
        hide_unreserved_gpus()
        listen_on_loopback()
        # Only here: the driver that deploys this class needs no PyTorch.
        from fo1_data.labelling.live import LiveLabeller

        self._labeller = LiveLabeller(model, device)
        self._token = os.environ.get(TOKEN, "")

    async def __call__(self, request: Request) -> Response:
        """Answer one HTTP request."""
        expected = f"Bearer {self._token}".encode()
        if self._token and not hmac.compare_digest(
            request.headers.get("authorization", "").encode("utf-8", "replace"), expected
        ):
            return _problem(401, "no valid token")
        try:
            live_request = LiveRequest.model_validate_json(await request.body())
        except ValidationError as error:
            return _problem(422, str(error.errors(include_url=False, include_input=False)[0]["msg"]))
        answer = await self.ask(live_request)
        if isinstance(answer, LiveAnswer):
            return Response(answer.model_dump_json(), media_type="application/json")
        return _problem(answer.status, answer.detail)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_S, max_concurrent_batches=1)
    async def ask(self, requests: list[LiveRequest]) -> "list[LiveAnswer | LiveProblem]":
        """Answer a batch of requests. One batch at a time, because the engine allows one caller."""
        return await asyncio.to_thread(self._labeller.answer, requests)


class PredictorSettings(BaseModel):
    """What a Predictor loads and reserves; also the `args` of the application in a Serve config file."""

    model_config = ConfigDict(extra="forbid")

    model: str = "fo1-tiny"
    device: str | None = None
    # Live questions are rare and short compared with labelling, so they share its cores.
    cpus: float = Field(default=0.1, ge=0)
    gpus: float = Field(default=0.0, ge=0)


def application(settings: PredictorSettings) -> Any:
    """The application that Ray Serve runs; `actors.serving:application` in a Serve config file."""
    options = {"num_cpus": settings.cpus, "num_gpus": settings.gpus}
    made: Any = serve.deployment(max_ongoing_requests=4 * MAX_BATCH, ray_actor_options=options)(Predictor)
    return made.bind(settings.model, settings.device)


def main() -> None:
    """Deploy, and stay until SIGTERM or SIGINT; then take it down."""
    parser = argparse.ArgumentParser(description="Deploy live labelling on this cluster's Ray Serve.")
    default = PredictorSettings()
    parser.add_argument("--model", default=default.model)
    parser.add_argument("--device", default=default.device)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--cpus", type=float, default=default.cpus)
    parser.add_argument("--gpus", type=float, default=default.gpus, help="share of a GPU; 0: the CPU")
    arguments = vars(parser.parse_args())
    http_options = {name: arguments.pop(name) for name in ("host", "port")}
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    serve.start(http_options=http_options)
    serve.run(application(PredictorSettings(**arguments)), name=APP_NAME, route_prefix=ROUTE)
    stopped.wait()
    serve.shutdown()  # type: ignore[no-untyped-call]


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


if __name__ == "__main__":
    main()
