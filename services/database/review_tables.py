"""The tables of reviews.

A *review* is one version of a dataset in one Label Studio. An *item* is one image of it that people review
(again in a further `round` if they disagreed); its `state` is the outbox. A *reviewed annotation* is the
latest state of one person's annotation of an item; its corrections are rows of their own. A *delivery* is a
webhook that was received and not yet processed; its payload is not stored. Ids of Label Studio (projects,
tasks, annotations, webhooks) are its own integers.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from schemas.reviews import ItemState, ReviewOptions, ReviewState
from services.database.models import DEFAULT_PROJECT, Base, utc_now


class StoredOptions(TypeDecorator[ReviewOptions]):
    """The options of a review, stored as JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: ReviewOptions | None, dialect: Any) -> dict[str, Any] | None:
        return None if value is None else value.stored()

    def process_result_value(self, value: dict[str, Any] | None, dialect: Any) -> ReviewOptions | None:
        return None if value is None else ReviewOptions.model_validate(value)


class Review(Base):
    """A review. `state`: a `ReviewState`.

    `owner_project_id`: the project of this service that it belongs to; `project_id`: its project in Label
    Studio. `key`: derived from the dataset's content and the owner; it names the project in Label Studio, so
    that a service that has lost its database finds that project again. `label_config`: as it was pushed
    (null: not stored). `changed_fields`: fields of the project that were removed or changed when it was last
    read. `unowned`: how many LsTasks and annotations the project has beside those of the items. `doubtful`:
    an insert may have happened twice, or without its predictions, so the end of the push looks for such.
    `pulled_until`: a time of Label Studio's clock. `pusher`: the process that works on it. `created_by`: the
    id of a key.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        Index("reviews_by_key", "key", "label_studio_url", unique=True),
        Index("reviews_by_project", "owner_project_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_project_id: Mapped[str] = mapped_column(server_default=DEFAULT_PROJECT)
    key: Mapped[str]
    dataset_id: Mapped[str | None]
    dataset: Mapped[str] = mapped_column(Text)
    title: Mapped[str]
    label_studio_url: Mapped[str] = mapped_column(Text)
    project_id: Mapped[int | None]
    webhook_id: Mapped[int | None]
    image_grant_id: Mapped[str | None]
    model_version: Mapped[str]
    label_config: Mapped[str | None] = mapped_column(Text)
    changed_fields: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    unowned: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    options: Mapped[ReviewOptions] = mapped_column(StoredOptions)
    state: Mapped[str] = mapped_column(default=ReviewState.PREPARING)
    error: Mapped[str | None] = mapped_column(Text)
    doubtful: Mapped[bool] = mapped_column(default=False)
    pulled_until: Mapped[str | None]
    pulled_at: Mapped[datetime | None]
    pusher: Mapped[str | None]
    pusher_seen_at: Mapped[datetime | None]
    created_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ReviewItem(Base):
    """An item of a review. `state`: an `ItemState`. `lane`: a `Lane`.

    `part`: the cell of a large image that it is about, empty for a whole image.
    `shown`: what the reviewer is shown, compressed; annotations are compared with it. `position`: place in
    the queue, most doubtful first, audit items spread among them. `image_grant_id`: the grant under which
    the image's address in Label Studio was made ("": unknown). `rule` and `agreement`: of its resolution.
    `settled_at`: when the image was resolved last, in UTC, ISO 8601. `has_counted`: an annotation of it was
    chosen at some time. `known`: of a honeypot, the known answers, compressed; its annotations are judged by
    them and give no corrections. `num_labels`: how many labels are shown (null: pushed by an older version).
    """

    __tablename__ = "review_items"
    __table_args__ = (
        Index("review_items_by_image", "review_id", "image_id", "part", "round", unique=True),
        Index("review_items_by_state", "review_id", "state", "position"),
        Index("review_items_by_ls_task", "review_id", "ls_task_id"),
        Index("review_items_by_key", "fo1_key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))
    image_id: Mapped[str] = mapped_column(String(64))
    part: Mapped[str] = mapped_column(String(64), default="", server_default="")
    round: Mapped[int] = mapped_column(default=1)
    fo1_key: Mapped[str]
    lane: Mapped[str] = mapped_column(String(16))
    doubt: Mapped[float]
    position: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default=ItemState.WAITING)
    error: Mapped[str | None] = mapped_column(Text)
    ls_task_id: Mapped[int | None]
    ls_updated_at: Mapped[str | None]
    agreement: Mapped[float | None]
    rule: Mapped[str | None] = mapped_column(String(16))
    settled_at: Mapped[str | None] = mapped_column(String(32))
    has_counted: Mapped[bool] = mapped_column(default=False, server_default=false())
    image_grant_id: Mapped[str | None]
    shown: Mapped[bytes]
    known: Mapped[bytes | None]
    num_labels: Mapped[int | None]


class ReviewedAnnotation(Base):
    """One person's annotation in its latest state, an `AnnotationState`.

    `chosen`: the resolution rule chose it, so its corrections are the item's. `result`: Label Studio's
    result list, compressed. `ls_task_id`: the LsTask that has it, which may be a copy of the item's (null:
    the item's). `ls_user_id`: its annotator. `reason`: an `AsideReason`, with its words in `error`.
    `changed_fields`: those for which it is set aside. `effects`: number of corrections, by action or verdict,
    that it has or would have once it is taken in. `taken_in_by`: who took it in after a look. `ignored`:
    results of added controls that have no form here. `known_right`, `known_asked`: of a honeypot, how many
    known answers it has right, of how many.
    """

    __tablename__ = "reviewed_annotations"
    __table_args__ = (
        Index("reviewed_annotations_by_ls", "review_id", "ls_annotation_id", unique=True),
        Index("reviewed_annotations_by_item", "item_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))
    item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"))
    ls_annotation_id: Mapped[int]
    ls_updated_at: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))
    annotator: Mapped[str]
    seconds: Mapped[float | None]
    ground_truth: Mapped[bool] = mapped_column(default=False)
    comment: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    ls_task_id: Mapped[int | None]
    ls_user_id: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(String(16))
    changed_fields: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    effects: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True))
    ignored: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    taken_in_by: Mapped[str | None]
    taken_in_at: Mapped[datetime | None]
    chosen: Mapped[bool] = mapped_column(default=False)
    known_right: Mapped[int | None]
    known_asked: Mapped[int | None]
    result: Mapped[bytes]
    seen_at: Mapped[datetime] = mapped_column(default=utc_now)


class ReviewCorrection(Base):
    """One `schemas.corrections.Correction`, as JSON."""

    __tablename__ = "review_corrections"
    __table_args__ = (
        Index("review_corrections_by_review", "review_id", "id"),
        Index("review_corrections_by_annotation", "annotation_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))
    annotation_id: Mapped[int] = mapped_column(ForeignKey("reviewed_annotations.id", ondelete="CASCADE"))
    action: Mapped[str] = mapped_column(String(16))
    document: Mapped[str] = mapped_column(Text)


class ReviewDelivery(Base):
    """A received webhook. `ls_task_id`: the LsTask to read (null: find it by `ls_annotation_id`).

    `expects`: the annotation's `updated_at` that Label Studio must show, or `deleted`. `tries`: how often
    it did not show it yet.
    """

    __tablename__ = "review_deliveries"
    __table_args__ = (Index("review_deliveries_by_review", "review_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    review_id: Mapped[str] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"))
    ls_task_id: Mapped[int | None]
    ls_annotation_id: Mapped[int | None]
    expects: Mapped[str | None]
    tries: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime] = mapped_column(default=utc_now)
