"""The routing that the settings of a labelling run ask for.

Confidences, thresholds and the audit need only a row and are settled in the shard that holds it; a review
budget needs all rows and is settled when the dataset is finished.
"""

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.confidence.calibration_match import LabelOrigin, check_match
from fo1_data.confidence.routing import Router
from fo1_data.labelling.identity import LabellerIdentity, PreliminaryIdentity
from schemas.calibration import RoutingSettings
from schemas.images import ImageRow
from schemas.jobs import RunConfig


def routing_settings(config: RunConfig) -> RoutingSettings:
    """The settings of a run that decide about labels."""
    return RoutingSettings.model_validate(config.model_dump(include=set(RoutingSettings.model_fields)))


def routes(config: RunConfig) -> bool:
    """True if the run gives its labels confidences or decisions."""
    return config.calibration is not None or routing_settings(config).decides


def make_router(config: RunConfig, identity: LabellerIdentity) -> tuple[Router, str | None]:
    """The router of a run, and a warning if a calibration made for other labels was forced.

    Raises CalibrationError if the calibration cannot be read, or was made for other labels and not forced.
    """
    calibration = read_calibration(config.calibration)[0] if config.calibration else None
    warning = None
    if calibration is not None:
        warning = check_match(calibration, origin_of_labeller(identity), config.force)
    return Router(routing_settings(config), calibration, config.labels, forced=warning is not None), warning


def origin_of_labeller(identity: LabellerIdentity | PreliminaryIdentity) -> LabelOrigin:
    """The origin of the labels that a labeller gives, as far as it is known."""
    return LabelOrigin(
        model_sha256=identity.model_sha256,
        proposer=identity.proposer_name,
        proposer_sha256=identity.proposer_sha256,
        prompts_version=identity.prompts_version,
    )


def route_in_shard(router: Router, rows: list[ImageRow]) -> None:
    """Give the labels of a shard's rows their confidences, and the decisions that need no other row."""
    router.score_rows(rows)
    if router.settings.decides and router.settings.review_budget is None:
        router.decide_rows(rows)
