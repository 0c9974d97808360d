"""What the API does with reviews: request a push, look one up, record webhooks.

Talks to the database only; the worker talks to Label Studio.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import ReviewOptions, ReviewState
from services.database.engine import Database
from services.database.locks import lock_name
from services.database.models import DEFAULT_PROJECT, DatasetRecord, DatasetState, utc_now
from services.database.review_tables import Review
from services.datasets import registry
from services.datasets import repository as dataset_repository
from services.identifiers import new_id
from services.label_studio.client import LabelStudio
from services.problems import Problem
from services.review import delivery_repository, item_repository, repository
from services.review.inbox.deliveries import parse_webhook
from services.review.live import LiveBackend
from services.review.outbox.push import Push
from services.review.video_copies import VideoCopies
from services.review.worker import ReviewWorker
from services.security.projects import get_project
from services.security.signing import UrlSigner
from services.settings import Settings

GRANT_PURPOSE = "review"


def make_worker(
    settings: Settings, database: Database, signer: UrlSigner, copies: VideoCopies
) -> ReviewWorker | None:
    """Return the worker on reviews in the configured Label Studio; None if none is configured."""
    if settings.label_studio_url is None or settings.label_studio_token is None:
        return None
    client = LabelStudio(settings.label_studio_url, settings.label_studio_token.get_secret_value())

    async def image_urls(review: Review) -> Callable[[str], str]:
        grant = review.image_grant_id or ""
        if review.options.tracks:
            return lambda video_id: signer.video_url(video_id, grant)
        return lambda image_id: signer.url(image_id, grant)

    def webhook(review_id: str) -> tuple[str, str]:
        return f"{settings.base_url}/v1/webhooks/label-studio", webhook_secret(settings, review_id)

    live = LiveBackend(client, settings)
    push = Push(database, client, image_urls, webhook, live=live, copies=copies)
    return ReviewWorker(database, client, push, pull_every_s=settings.review_pull_every_s)


def webhook_secret(settings: Settings, review_id: str) -> str:
    """Return the secret that a review's webhook must carry. Derived from the service's secret, not stored."""
    return hmac.digest(settings.secret, f"fo1 webhook of {review_id}".encode(), "sha256").hex()


def is_from_label_studio(settings: Settings, review_id: str, secret: str) -> bool:
    """Return whether a webhook carries its review's secret."""
    return hmac.compare_digest(
        webhook_secret(settings, review_id).encode(), secret.encode("utf-8", "replace")
    )


async def request_push(
    session: AsyncSession,
    settings: Settings,
    record: DatasetRecord,
    title: str | None,
    options: ReviewOptions,
    created_by: str | None = None,
) -> Review:
    """Create the review of a dataset, or return the existing one, extended if the options differ.

    Raises a Problem: of 409 if a review that has started would become blind, or no longer be blind; of 404 if
    the dataset was forgotten in the meantime.
    """
    assert settings.label_studio_url is not None
    await registry.hold(session, record)
    if options.only is not None and record.state != DatasetState.READY:
        raise Problem(409, "a selection needs the dataset's index: try again when that is done")
    key = await review_key(session, record, tracks=options.tracks)
    await lock_name(session, f"review {key}")
    existing = await repository.review_by_key(session, key, settings.label_studio_url)
    review = await repository.lock_review(session, existing.id) if existing is not None else None
    if review is None:
        review = await _create(session, settings.label_studio_url, key, record, title, options)
        review.created_by = created_by
        return review
    options = _merged_options(review, options)
    if review.state == ReviewState.FAILED and review.project_id is None:
        await item_repository.requeue_lost_items(session, review.id)
    # An open review has an error if its live labelling could not be connected.
    unconnected = review.state == ReviewState.OPEN and review.error is not None and options.live is not None
    restart = review.state == ReviewState.FAILED or review.options != options or unconnected
    if restart:
        review.options, review.state, review.error = options, ReviewState.PREPARING, None
    if restart or not await _is_granted(session, review):
        await _renew_grant(session, review, record)
    elif review.state == ReviewState.OPEN and await _has_other_grants(session, review):
        review.state = ReviewState.PUSHING
    await session.flush()
    return review


async def review_key(session: AsyncSession, record: DatasetRecord, *, tracks: bool = False) -> str:
    """Return the key of a dataset's review: of its content, and of its project unless it is the default.

    tracks: of the review of its tracks, beside that of its images.
    """
    project = await get_project(session, record.project_id)
    named = record.manifest_sha256
    if project is not None and project.id != DEFAULT_PROJECT:
        named = hashlib.sha256(f"{project.name} {named}".encode()).hexdigest()
    return hashlib.sha256(f"tracks {named}".encode()).hexdigest()[:16] if tracks else named[:16]


async def _has_other_grants(session: AsyncSession, review: Review) -> bool:
    """Return whether any LsTask's image address was not (or not certainly) made under the review's grant."""
    return bool(
        await item_repository.items_of_other_grants(session, review.id, review.image_grant_id or "", 1)
    )


def _merged_options(review: Review, options: ReviewOptions) -> ReviewOptions:
    """Return the options with those of the review that they leave open (`LEFT_OPEN`).

    Raises a Problem of 409 if `blind` would change.
    """
    blind = bool(review.options.blind)
    if options.honeypots and not blind:
        raise Problem(409, "honeypots need a blind review, which cannot change after the first push")
    if options.blind not in (None, blind):
        raise Problem(
            409, f"this review is {'' if blind else 'not '}blind, which cannot change after the first push"
        )
    live = review.options.live if options.live is None else options.live
    if not live and review.options.live is None:
        live = None  # it was never live: there is nothing to disconnect
    kept = {
        name: getattr(review.options, name)
        for name in ("honeypots", "honeypot_gold", "hold_below")
        if getattr(options, name) is None
    }
    return options.model_copy(update={**kept, "blind": blind or None, "live": live})


async def _is_granted(session: AsyncSession, review: Review) -> bool:
    """Return whether the grant of the review's image addresses still holds."""
    grant = await dataset_repository.valid_grant(session, review.dataset_id or "", GRANT_PURPOSE)
    return grant is not None and grant.id == review.image_grant_id


async def _renew_grant(session: AsyncSession, review: Review, record: DatasetRecord) -> None:
    """Use a grant that holds; LsTasks made under another one get new image addresses."""
    grant = await registry.grant_images(session, record.id, GRANT_PURPOSE)
    if grant.id != review.image_grant_id:
        await item_repository.set_missing_grants(session, review.id, review.image_grant_id)
        review.state = ReviewState.PUSHING if review.state == ReviewState.OPEN else review.state
    review.dataset, review.dataset_id, review.image_grant_id = record.address, record.id, grant.id


async def _create(
    session: AsyncSession,
    label_studio_url: str,
    key: str,
    record: DatasetRecord,
    title: str | None,
    options: ReviewOptions,
) -> Review:
    grant = await registry.grant_images(session, record.id, GRANT_PURPOSE)
    review = Review(
        id=new_id("rev"),
        owner_project_id=record.project_id,
        key=key,
        dataset_id=record.id,
        dataset=record.address,
        title=(title or _default_title(record, tracks=options.tracks))[:50].ljust(3),
        label_studio_url=label_studio_url,
        image_grant_id=grant.id,
        model_version=model_version(record),
        options=options.model_copy(
            update={"blind": bool(options.blind or options.honeypots) or None, "live": options.live or None}
        ),
        state=ReviewState.PREPARING,
        doubtful=False,
        created_at=utc_now(),
    )
    session.add(review)
    await session.flush()
    return review


def _default_title(record: DatasetRecord, *, tracks: bool) -> str:
    """Return the name and version of a dataset; beside the review of its images, that of tracks says so."""
    name = f"{record.name} {record.version[:12]}"
    return f"tracks of {name}" if tracks else name


def model_version(record: DatasetRecord) -> str:
    """Return the name of the model in Label Studio: its name and the start of its weights' SHA-256."""
    model = record.manifest.get("model") or {}
    name, digest = model.get("name") or "fo1", (model.get("sha256") or record.manifest_sha256)[:8]
    return f"{name.rstrip('/').rpartition('/')[2][:80]}-{digest}"


async def get_review(session: AsyncSession, project_id: str | None, review_id: str) -> Review:
    """Return a review of a project (None: of any). Raises a Problem of 404."""
    review = await repository.find_review(session, review_id)
    if review is None or project_id not in (None, review.owner_project_id):
        raise Problem(404, f"no review has the id {review_id}")
    return review


async def review_of_webhook(session: AsyncSession, project_id: str, payload: dict[str, Any]) -> Review | None:
    """Return the review, of a project, that a webhook without our header is about, or None."""
    project = payload.get("project")
    ls_project_id = project.get("id") if isinstance(project, dict) else project
    if not isinstance(ls_project_id, int) or isinstance(ls_project_id, bool):
        return None
    if not 0 < ls_project_id < 2**31:
        return None
    return await repository.review_of_ls_project(session, project_id, ls_project_id)


async def record_webhook(session: AsyncSession, review_id: str, payload: dict[str, Any]) -> int:
    """Store the deliveries of a webhook; return how many."""
    deliveries = parse_webhook(review_id, payload)
    await delivery_repository.add_deliveries(session, deliveries)
    return len(deliveries)
