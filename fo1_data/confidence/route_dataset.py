"""`fo1 route`: decides a finished dataset again and writes the result as its next version.

Nothing is labelled again. Rows are read once to plan a review budget (if there is one) and once to decide.
Tracks are decided as rows are, by `route_tracks`. A file is rewritten only if one of its rows changed. Pixels
outside the dataset are not read.
"""

from collections.abc import Iterator

import pyarrow as pa

from fo1_data.confidence.budget_pass import BudgetPass
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.confidence.calibration_match import check_match, origin_of
from fo1_data.confidence.review_cost import ReviewEffort
from fo1_data.confidence.route_tracks import write_routed_tracks
from fo1_data.confidence.routed_batch import Routed, RoutedBatch
from fo1_data.confidence.routing import Router
from fo1_data.dataset.counting import count_batch
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.light_rows import light_batches
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.parquet_files import encode_batches
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_batches import regular_batches
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.errors import ConfigError
from schemas.calibration import Calibration, RoutingSettings
from schemas.dataset import Counts, Manifest, ManifestFile
from schemas.labels import LabelKind


def route_dataset(
    address: str, out: str, settings: RoutingSettings, calibration: str | None = None, force: bool = False
) -> tuple[Manifest, str | None]:
    """Decide the dataset at `address` by `settings` and write it to `out`.

    Returns the new manifest, and a warning or None. Raises CalibrationError if the calibration was made for
    other labels and `force` is off, ConfigError if a guarantee is requested without a calibration or if
    there is nothing to decide, DatasetError if `out` is not empty.
    """
    if settings.max_error is not None and calibration is None:
        raise ConfigError("--max-error needs --calibration (made by fo1 calibrate)")
    if calibration is None and not settings.decides:
        raise ConfigError("nothing to decide: give --calibration, --max-error, --review-budget or --audit")
    dataset = open_dataset(address)
    fitted, sha256 = read_calibration(calibration) if calibration else (None, None)
    warning = check_match(fitted, origin_of(dataset.manifest), force) if fitted else None
    router = Router(settings, fitted, guaranteed_kinds(dataset, fitted), forced=warning is not None)
    budget = BudgetPass(router, is_scored_anew=True)
    if settings.review_budget is not None:
        for file in dataset.data_files():
            for batch in light_batches(dataset.store, file.path, lambda path: path != "image.bytes"):
                budget.see(batch)
    step = {"route": settings.model_dump(mode="json"), "calibration_sha256": sha256}
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    effort = ReviewEffort()
    for file in dataset.data_files():
        _route_file(dataset, file, writer, router, budget, effort)
    routing = router.manifest_entry(warning) | ({"calibration": calibration} if calibration else {})
    routing |= {"effort": effort.counts()} if settings.decides else {}
    more = {"routing": routing, "calibration_sha256": sha256}
    write_routed_tracks(writer, dataset, router)
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=dataset.history(),
        more=more,
    )
    return manifest, warning


def _route_file(
    dataset: Dataset,
    file: ManifestFile,
    writer: VersionWriter,
    router: Router,
    budget: BudgetPass,
    effort: ReviewEffort,
) -> None:
    """Decide and write the rows of a file, and add them to `effort`; holds a batch, and the new file."""
    has_changed, counts = False, Counts()

    def routed() -> Iterator[pa.RecordBatch]:
        nonlocal has_changed, counts
        for before in regular_batches(dataset.store, file.path):
            batch, is_changed = _routed(before, router, budget)
            has_changed |= is_changed
            counts += count_batch(batch)
            effort.add_all(LabelColumns(batch))
            yield batch

    encoded = encode_batches(routed())
    if has_changed:
        writer.put(file.path, *encoded, counts)
    else:
        writer.copy(dataset.store, file, counts)


def _routed(batch: pa.RecordBatch, router: Router, budget: BudgetPass) -> Routed:
    """A batch scored and decided."""
    if not router.settings.decides:
        return RoutedBatch(batch, router).scored()
    if router.settings.review_budget is None:
        return RoutedBatch(batch, router).decided()
    return budget.decide(batch)


def guaranteed_kinds(dataset: Dataset, calibration: Calibration | None) -> list[LabelKind]:
    """The kinds that share the guarantee: those of the labelling run, else all calibrated kinds."""
    names = dataset.manifest.config.get("labels")
    kinds = [LabelKind(name) for name in names if name in set(LabelKind)] if isinstance(names, list) else []
    return kinds or (list(calibration.kinds) if calibration is not None else [])
