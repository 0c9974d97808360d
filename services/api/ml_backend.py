"""`/ml`: the ML backend protocol of Label Studio. Its user name is free, its password is a key of ours."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.errors import InputReject
from services.api.dependencies import guard, wrong_key
from services.api.documented import NOT_FOUND
from services.api.named_images import NamedImage, find_image
from services.context import Context, InContext
from services.label_studio.ml_protocol import Drawn, drawn_in, names_of, question_for, results_of
from services.problems import Problem
from services.review import repository as reviews
from services.review.live import is_live_secret
from services.security.keys import Caller, Scope, find_caller

router = APIRouter(prefix="/ml", tags=["Label Studio's ML backend"])
_basic = HTTPBasic(auto_error=False, scheme_name="password")
_bearer = HTTPBearer(auto_error=False, scheme_name="key")
_CHALLENGE = {"WWW-Authenticate": "Basic"}
_MOST_TASKS = 50


async def backend_caller(
    request: Request,
    context: InContext,
    password: Annotated[HTTPBasicCredentials | None, Depends(_basic)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    """Who asks: a key with the scope review or label, as a password or a bearer token."""
    if password is not None and await _is_of_live_review(context, password):
        return Caller(password.username, frozenset([Scope.LABEL]))
    key = password.password if password is not None else bearer.credentials if bearer is not None else None
    if key is None:
        raise Problem(401, "no key: give one as the password", _CHALLENGE)
    async with context.database.reading() as session:
        caller = await find_caller(session, key)
    if caller is None:
        raise wrong_key(request, context, _CHALLENGE)
    if not (caller.may(Scope.REVIEW) or caller.may(Scope.LABEL)):
        raise Problem(403, "this key lacks the scope review or label")
    return caller


async def _is_of_live_review(context: Context, given: HTTPBasicCredentials) -> bool:
    if not is_live_secret(context.settings, given.username, given.password):
        return False
    async with context.database.reading() as session:
        review = await reviews.find_review(session, given.username)
    return review is not None and bool(review.options.get("live"))


async def _admit(request: Request, context: Context) -> Caller:
    try:
        password = await _basic(request)
    except HTTPException:
        password = None
    return await backend_caller(request, context, password, await _bearer(request))


BackendCaller = Annotated[Caller, guard(backend_caller, _admit)]


class BackendHealth(BaseModel):
    """What Label Studio looks for."""

    model_config = ConfigDict(protected_namespaces=())

    status: str = "UP"
    model_class: str = "fo1-data"


class BackendSetup(BaseModel):
    """The model's name as Label Studio keeps it."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str


class Params(BaseModel):
    """`context.result` is what the person drew or wrote."""

    model_config = ConfigDict(extra="ignore")

    context: dict[str, Any] | None = None


class BackendTask(BaseModel):
    """An item of Label Studio; `data` holds the address of its image."""

    model_config = ConfigDict(extra="ignore")

    data: dict[str, Any] = {}


class BackendQuestion(BaseModel):
    """A request of Label Studio for predictions; more members than these are passed over."""

    model_config = ConfigDict(extra="ignore")

    tasks: list[BackendTask] = Field(default=[], max_length=_MOST_TASKS)
    label_config: str = Field(default="", max_length=200_000)
    params: Params | None = None


class BackendPrediction(BaseModel):
    """What is said of one item; `score` 0 to 1."""

    model_config = ConfigDict(protected_namespaces=())

    result: list[dict[str, Any]]
    score: float
    model_version: str


class BackendAnswer(BaseModel):
    """One prediction an item, in order."""

    model_config = ConfigDict(protected_namespaces=())

    results: list[BackendPrediction]
    model_version: str


@router.get("/health")
async def health() -> BackendHealth:
    """The service is up. No key needed: it tells nothing else."""
    return BackendHealth()


@router.post("/setup")
async def setup(caller: BackendCaller, context: InContext) -> BackendSetup:
    """What Label Studio asks when the backend is connected."""
    return BackendSetup(model_version=context.settings.predict_model)


@router.post("/predict", responses=NOT_FOUND)
async def predict(caller: BackendCaller, context: InContext, body: BackendQuestion) -> BackendAnswer:
    """Boxes and captions for what a person just drew, or for a whole image."""
    names = names_of(body.label_config)
    drawn = drawn_in(body.params.context if body.params else None)
    results = []
    for task in body.tasks:
        address = task.data.get(names.image_key)
        if not isinstance(address, str) or not address:
            raise Problem(404, f"tasks: no image under data.{names.image_key}")
        image = await find_image(context, address)
        results.append(await _predict(context, image, drawn, body))
    return BackendAnswer(results=results, model_version=context.settings.predict_model)


@router.post("/webhook")
async def webhook(caller: BackendCaller) -> BackendHealth:
    """What Label Studio tells its backends; corrections come by `/v1/webhooks/label-studio`, so: nothing."""
    return BackendHealth()


async def _predict(
    context: Context, image: NamedImage, drawn: Drawn, body: BackendQuestion
) -> BackendPrediction:
    width, height = await _size(context, image) if drawn.boxes else (1, 1)
    question = question_for(drawn, width, height)
    if question is None:  # what was drawn has no area
        return BackendPrediction(result=[], score=0.0, model_version=context.settings.predict_model)
    answer = await context.predictions.ask(image.image_id, question, image.fetch)
    return BackendPrediction(
        result=results_of(answer, drawn, names_of(body.label_config)),
        score=0.5,
        model_version=answer.model,
    )


async def _size(context: Context, image: NamedImage) -> tuple[int, int]:
    """The upright size of an image in pixels: remembered, or from its bytes."""
    known = context.image_sizes.get(image.image_id)
    if known is None:
        data = await image.fetch()
        known = await asyncio.to_thread(_upright_size, data, context.settings.max_image_pixels)
        context.image_sizes[image.image_id] = known
        while len(context.image_sizes) > 10_000:
            context.image_sizes.pop(next(iter(context.image_sizes)))
    return known


def _upright_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    try:
        image = decode_rgb(data, InputLimits(max_pixels=max_pixels))
    except InputReject as error:
        raise Problem(422, f"the image cannot be used: {error.message}") from None
    return image.width, image.height
