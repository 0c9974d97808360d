"""`POST /v1/predict`: label one image while the caller waits."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from schemas.live import LiveAnswer, LiveQuestion
from services.api.dependencies import LabellerOrReviewer
from services.api.documented import NOT_FOUND
from services.api.named_images import find_image
from services.context import InContext

router = APIRouter(tags=["live"])


class PredictRequest(LiveQuestion):
    """A question about an image.

    `image`: the id of an image in a registered dataset, a path or URL within the storage roots, or the
    encoded bytes in base64 (a data URL too).
    """

    image: Annotated[str, Field(min_length=1)]


@router.post("/v1/predict", responses=NOT_FOUND)
async def predict(caller: LabellerOrReviewer, context: InContext, body: PredictRequest) -> LiveAnswer:
    """Label one image at once. A second question about the same image and boxes is answered faster."""
    image = await find_image(context, caller.project_id, body.image)
    question = LiveQuestion.model_validate(body.model_dump(exclude={"image"}))
    with context.metrics.predicting():
        return await context.predictions.ask(image.image_id, question, image.fetch, image.raster)
