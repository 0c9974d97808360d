"""`fo1 route`: decisions made again on a finished dataset, as its next version. Nothing is labelled again.

Rows are read once to plan a review budget and once to decide; files are written anew only where a row
changed. Pixels that are not in the dataset are not looked at.
"""

from collections.abc import Iterator

from fo1_data.confidence.budget_pass import BudgetPass, told_rules
from fo1_data.confidence.calibration import read_calibration
from fo1_data.confidence.calibration_match import check_match, labelled_by
from fo1_data.confidence.routing import Router
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.errors import ConfigError
from schemas.calibration import Calibration, RoutingSettings
from schemas.dataset import Manifest, ManifestFile
from schemas.images import ImageRow
from schemas.labels import LabelKind


def route_dataset(
    address: str, out: str, settings: RoutingSettings, calibration: str | None = None, force: bool = False
) -> tuple[Manifest, str | None]:
    """Write the dataset at `address`, decided by `settings`, into `out`; its manifest and a warning, if any.

    Raises CalibrationError where the calibration is of other labels (and `force` is off), ConfigError
    where a guarantee is asked for without one, DatasetError where `out` is not empty.
    """
    if settings.max_error is not None and calibration is None:
        raise ConfigError("--max-error needs --calibration (made by fo1 calibrate)")
    if calibration is None and not settings.decides:
        raise ConfigError("nothing to decide: give --calibration, --max-error, --review-budget or --audit")
    dataset = open_dataset(address)
    found, sha256 = read_calibration(calibration) if calibration else (None, None)
    warning = check_match(found, labelled_by(dataset.manifest), force) if found else None
    router = Router(settings, found, _kinds(dataset, found), forced=warning is not None)
    decider = BudgetPass(router)
    if settings.review_budget is not None:
        for row in _scored(router, dataset.rows()):
            decider.see(row)
    step = {"route": settings.model_dump(mode="json"), "calibration_sha256": sha256}
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    for file in dataset.data_files():
        _route_file(dataset, file, writer, router, decider)
    more = {"routing": told_rules(router, warning), "calibration_sha256": sha256}
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=dataset.history(),
        more=more,
    )
    return manifest, warning


def _route_file(
    dataset: Dataset, file: ManifestFile, writer: VersionWriter, router: Router, decider: BudgetPass
) -> None:
    before = list(dataset.rows_of(file))
    rows = list(_scored(router, (row.model_copy(deep=True) for row in before)))
    if router.settings.decides:
        for row in rows:
            if router.settings.review_budget is None:
                router.decide(row)
            else:
                decider.decide(row)
    if rows == before:
        writer.copy(dataset.store, file, count_rows(rows))
    else:
        writer.replace(file.path, rows)


def _scored(router: Router, rows: Iterator[ImageRow]) -> Iterator[ImageRow]:
    for row in rows:
        router.score(row)
        yield row


def _kinds(dataset: Dataset, calibration: Calibration | None) -> list[LabelKind]:
    """The kinds that share the guarantee: those the dataset was labelled with, as a run's would be."""
    told = dataset.manifest.config.get("labels")
    known = [LabelKind(one) for one in told if one in set(LabelKind)] if isinstance(told, list) else []
    return known or (list(calibration.kinds) if calibration is not None else [])
