"""`/ml`: the ML backend protocol of Label Studio. The password is one of our keys, with any user name.

The project of a live review sends its review's id as the user name and its own password instead.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from fo1_data.corpus.decoding import read_image_wh
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from services.api.dependencies import guard, in_project, wrong_key
from services.api.documented import NOT_FOUND
from services.api.named_images import NamedImage, find_image
from services.context import Context, InContext
from services.database.review_tables import Review
from services.label_studio.ml_protocol import (
    ControlNames,
    Gesture,
    parse_control_names,
    parse_gesture,
    question_for,
    results_of,
)
from services.problems import Problem
from services.review import repository as reviews
from services.review.live import is_live_secret
from services.security.keys import Caller, Scope, find_caller

router = APIRouter(prefix="/ml", tags=["Label Studio's ML backend"])
_basic = HTTPBasic(auto_error=False, scheme_name="password")
_bearer = HTTPBearer(auto_error=False, scheme_name="key")
_CHALLENGE = {"WWW-Authenticate": "Basic"}
_MAX_TASKS = 50


async def backend_caller(
    request: Request,
    context: InContext,
    password: Annotated[HTTPBasicCredentials | None, Depends(_basic)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    """Return the caller: a key with the scope review or label, as a password or a bearer token."""
    review = await _live_review(context, password) if password is not None else None
    if review is not None:
        return Caller(review.id, frozenset([Scope.LABEL]), review.owner_project_id)
    key = password.password if password is not None else bearer.credentials if bearer is not None else None
    if key is None:
        raise Problem(401, "no key: send one as the password", _CHALLENGE)
    async with context.database.reading() as session:
        caller = await find_caller(session, key)
    if caller is None:
        raise wrong_key(request, context, _CHALLENGE)
    if not (caller.may(Scope.REVIEW) or caller.may(Scope.LABEL)):
        raise Problem(403, "this key lacks the scope review or label")
    return await in_project(request, context, caller)


async def _live_review(context: Context, credentials: HTTPBasicCredentials) -> Review | None:
    if not is_live_secret(context.settings, credentials.username, credentials.password):
        return None
    async with context.database.reading() as session:
        review = await reviews.find_review(session, credentials.username)
    return review if review is not None and review.options.live else None


async def _admit(request: Request, context: Context) -> Caller:
    try:
        password = await _basic(request)
    except HTTPException:
        password = None
    return await backend_caller(request, context, password, await _bearer(request))


BackendCaller = Annotated[Caller, guard(backend_caller, _admit)]


class BackendHealth(BaseModel):
    """The answer that Label Studio expects of a healthy backend."""

    model_config = ConfigDict(protected_namespaces=())

    status: str = "UP"
    model_class: str = "fo1-data"


class BackendSetup(BaseModel):
    """The model's name as Label Studio stores it."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str


class Params(BaseModel):
    """`context.result`: what the person drew or wrote."""

    model_config = ConfigDict(extra="ignore")

    context: dict[str, Any] | None = None


class BackendTask(BaseModel):
    """A task of Label Studio. `data` holds the address of its image."""

    model_config = ConfigDict(extra="ignore")

    data: dict[str, Any] = {}


class BackendQuestion(BaseModel):
    """A request of Label Studio for predictions. Other members are ignored."""

    model_config = ConfigDict(extra="ignore")

    tasks: list[BackendTask] = Field(default=[], max_length=_MAX_TASKS)
    label_config: str = Field(default="", max_length=200_000)
    params: Params | None = None


class BackendPrediction(BaseModel):
    """The prediction for one task. `score`: 0 to 1."""

    model_config = ConfigDict(protected_namespaces=())

    result: list[dict[str, Any]]
    score: float
    model_version: str


class BackendAnswer(BaseModel):
    """One prediction per task, in order."""

    model_config = ConfigDict(protected_namespaces=())

    results: list[BackendPrediction]
    model_version: str


@router.get("/health")
async def health() -> BackendHealth:
    """The service is up. Needs no key: it reveals nothing else."""
    return BackendHealth()


@router.post("/setup")
async def setup(caller: BackendCaller, context: InContext) -> BackendSetup:
    """Called by Label Studio when the backend is connected."""
    return BackendSetup(model_version=context.settings.predict_model)


@router.post("/predict", responses=NOT_FOUND)
async def predict(caller: BackendCaller, context: InContext, body: BackendQuestion) -> BackendAnswer:
    """Boxes and captions for what a person just drew, or for a whole image."""
    names = parse_control_names(body.label_config)
    gesture = parse_gesture(body.params.context if body.params else None)
    results = []
    for task in body.tasks:
        address = task.data.get(names.image_key)
        if not isinstance(address, str) or not address:
            raise Problem(404, f"tasks: no image under data.{names.image_key}")
        image = await find_image(context, caller.project_id, address)
        results.append(await _predict(context, image, gesture, names))
    return BackendAnswer(results=results, model_version=context.settings.predict_model)


@router.post("/webhook")
async def webhook(caller: BackendCaller) -> BackendHealth:
    """Ignores what Label Studio sends its backends: corrections come by `/v1/webhooks/label-studio`."""
    return BackendHealth()


async def _predict(
    context: Context, image: NamedImage, gesture: Gesture, names: ControlNames
) -> BackendPrediction:
    width, height = await _image_wh(context, image) if gesture.boxes else (1, 1)
    question = question_for(gesture, width, height)
    if question is None:  # the drawn boxes have no area
        return BackendPrediction(result=[], score=0.0, model_version=context.settings.predict_model)
    with context.metrics.predicting():
        answer = await context.predictions.ask(image.image_id, question, image.fetch, image.raster)
    return BackendPrediction(
        result=results_of(answer, gesture, names),
        score=0.5,
        model_version=answer.model,
    )


async def _image_wh(context: Context, image: NamedImage) -> tuple[int, int]:
    """Return width and height of the EXIF-oriented image in pixels: remembered, or from its bytes."""
    image_wh = context.image_sizes.get(image.image_id)
    if image_wh is None:
        data = await image.fetch()
        image_wh = await asyncio.to_thread(_header_wh, data, context.settings.max_image_pixels)
        context.image_sizes[image.image_id] = image_wh
        while len(context.image_sizes) > 10_000:
            context.image_sizes.pop(next(iter(context.image_sizes)))
    return image_wh


def _header_wh(data: bytes, max_pixels: int) -> tuple[int, int]:
    try:
        return read_image_wh(data, InputLimits(max_pixels=max_pixels))
    except InputReject as error:
        raise Problem(422, f"the image cannot be used: {error.message}") from None
