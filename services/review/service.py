"""What can be done with reviews: ask for a push, look, hear webhooks. Label Studio itself is the worker's."""

import hmac
from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.database.engine import Database
from services.database.locks import lock_name
from services.database.models import DatasetRecord, now
from services.database.review_states import ReviewState
from services.database.review_tables import Review
from services.datasets import registry
from services.datasets import repository as dataset_repository
from services.identifiers import new_id
from services.label_studio.client import LabelStudio
from services.problems import Problem
from services.review import item_repository, repository
from services.review.inbox import deliveries
from services.review.live import LiveBackend
from services.review.outbox.push import Push
from services.review.worker import ReviewWorker
from services.security.signing import UrlSigner
from services.settings import Settings

IMAGES_FOR = "review"


def make_worker(settings: Settings, database: Database, signer: UrlSigner) -> ReviewWorker | None:
    """The loop over reviews of the Label Studio that is set; None where none is."""
    if settings.label_studio_url is None or settings.label_studio_token is None:
        return None
    client = LabelStudio(settings.label_studio_url, settings.label_studio_token.get_secret_value())

    async def image_urls(review: Review) -> Callable[[str], str]:
        grant = review.image_grant_id or ""
        return lambda image_id: signer.url(image_id, grant)

    def webhook(review_id: str) -> tuple[str, str]:
        return f"{settings.base_url}/v1/webhooks/label-studio", webhook_secret(settings, review_id)

    push = Push(database, client, image_urls, webhook, live=LiveBackend(client, settings))
    return ReviewWorker(database, client, push, pull_every_s=settings.review_pull_every_s)


def webhook_secret(settings: Settings, review_id: str) -> str:
    """What a review's webhook must carry: made of the service's own secret, kept nowhere."""
    return hmac.digest(settings.secret, f"fo1 webhook of {review_id}".encode(), "sha256").hex()


def is_from_label_studio(settings: Settings, review_id: str, secret: str) -> bool:
    """Whether a webhook carries its review's secret."""
    return hmac.compare_digest(
        webhook_secret(settings, review_id).encode(), secret.encode("utf-8", "replace")
    )


async def ask_for_push(
    session: AsyncSession,
    settings: Settings,
    record: DatasetRecord,
    title: str | None,
    options: dict[str, Any],
) -> Review:
    """The review of a dataset: made, or found again and, where other options were given, filled up."""
    assert settings.label_studio_url is not None
    key = record.manifest_sha256[:16]
    await lock_name(session, f"review {key}")
    known = await repository.review_by_key(session, key, settings.label_studio_url)
    review = await repository.lock_review(session, known.id) if known is not None else None
    if review is None:
        return await _create(session, settings.label_studio_url, key, record, title, options)
    options = _as_before(review, options)
    if review.state == ReviewState.FAILED and review.project_id is None:
        await repository.send_again(session, review.id)
    # An open review with an error is one whose live labelling could not be connected.
    unconnected = (
        review.state == ReviewState.OPEN and review.error is not None and options.get("live") is not None
    )
    again = review.state == ReviewState.FAILED or review.options != options or unconnected
    if again:
        review.options, review.state, review.error = options, ReviewState.PREPARING, None
    if again or not await _is_granted(session, review):
        await _grant_anew(session, review, record)
    elif review.state == ReviewState.OPEN and await _shows_under_others(session, review):
        review.state = ReviewState.PUSHING
    await session.flush()
    return review


async def _shows_under_others(session: AsyncSession, review: Review) -> bool:
    """Whether images of LsTasks are shown under another grant than the review's, or nobody knows which."""
    return bool(
        await item_repository.items_of_other_grants(session, review.id, review.image_grant_id or "", 1)
    )


def _as_before(review: Review, options: dict[str, Any]) -> dict[str, Any]:
    """The options, blind and live as the review is where they leave it open.

    Raises a Problem of 409 where what people see would have to become blind, or no longer be.
    """
    was = bool(review.options.get("blind"))
    if options.get("blind") not in (None, was):
        raise Problem(409, f"this review is{'' if was else ' not'} blind already: what people see stays so")
    live = review.options.get("live") if options.get("live") is None else options["live"]
    if not live and "live" not in review.options:
        live = None  # it never was: there is nothing to disconnect
    rest = {name: value for name, value in options.items() if name not in ("blind", "live")}
    return {**rest, **({"blind": True} if was else {}), **({} if live is None else {"live": live})}


async def _is_granted(session: AsyncSession, review: Review) -> bool:
    """Whether the images that people see are still shown to them."""
    grant = await dataset_repository.valid_grant(session, review.dataset_id or "", IMAGES_FOR)
    return grant is not None and grant.id == review.image_grant_id


async def _grant_anew(session: AsyncSession, review: Review, record: DatasetRecord) -> None:
    """Show the dataset's images under a grant that holds; LsTasks made under another get new addresses."""
    grant = await registry.grant_images(session, record.id, IMAGES_FOR)
    if grant.id != review.image_grant_id:
        await item_repository.name_grant(session, review.id, review.image_grant_id)
        review.state = ReviewState.PUSHING if review.state == ReviewState.OPEN else review.state
    review.dataset, review.dataset_id, review.image_grant_id = record.address, record.id, grant.id


async def _create(
    session: AsyncSession,
    label_studio_url: str,
    key: str,
    record: DatasetRecord,
    title: str | None,
    options: dict[str, Any],
) -> Review:
    grant = await registry.grant_images(session, record.id, IMAGES_FOR)
    review = Review(
        id=new_id("rev"),
        key=key,
        dataset_id=record.id,
        dataset=record.address,
        title=(title or f"{record.name} {record.version[:12]}")[:50].ljust(3),
        label_studio_url=label_studio_url,
        image_grant_id=grant.id,
        model_version=model_version(record),
        options={name: value for name, value in options.items() if name not in ("blind", "live") or value},
        state=ReviewState.PREPARING,
        doubtful=False,
        created_at=now(),
    )
    session.add(review)
    await session.flush()
    return review


def model_version(record: DatasetRecord) -> str:
    """What Label Studio calls who made the pre-annotations: the model and its weights."""
    model = record.manifest.get("model") or {}
    name, digest = model.get("name") or "fo1", (model.get("sha256") or record.manifest_sha256)[:8]
    return f"{name.rstrip('/').rpartition('/')[2][:80]}-{digest}"


async def found(session: AsyncSession, review_id: str) -> Review:
    """A review. Raises a Problem of 404."""
    review = await repository.find_review(session, review_id)
    if review is None:
        raise Problem(404, f"no review has the id {review_id}")
    return review


async def review_of_project(session: AsyncSession, payload: dict[str, Any]) -> Review | None:
    """The review that a webhook without our header is about."""
    project = payload.get("project")
    number = project.get("id") if isinstance(project, dict) else project
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        return None
    return await repository.review_of_project(session, number)


async def hear(session: AsyncSession, review_id: str, payload: dict[str, Any]) -> int:
    """Keep what a webhook names; how many things that are."""
    named = deliveries.deliveries_of(review_id, payload)
    await deliveries.keep(session, named)
    return len(named)
