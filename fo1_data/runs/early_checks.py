"""Checks of a run before its model is loaded: against an earlier run in its `--out`, and its calibration."""

from collections.abc import Mapping
from typing import Protocol

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.confidence.calibration_match import check_match
from fo1_data.dataset.begun_run import LATE_ENTRIES, check_begun
from fo1_data.dataset.layout import RUN, fingerprint_file
from fo1_data.dataset.listing_record import describe_change
from fo1_data.dataset.manifest import find_manifest
from fo1_data.dataset.weights_record import LoadedSource, load_weights_record
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.runs.fingerprint import preliminary_fingerprint
from fo1_data.runs.out_place import asking_place
from fo1_data.runs.plan import PlannedRun
from fo1_data.runs.routing import origin_of_labeller
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.jobs import RunConfig


class ModelChecks(Protocol):
    """What can be checked and known of the models before they are loaded; see `labelling.model_files`."""

    def check(self) -> None: ...

    def versions(self) -> dict[str, str]: ...

    def identity(self, recorded: Mapping[str, LoadedSource]) -> PreliminaryIdentity: ...


class UncheckedModels:
    """For labellers whose models cannot be checked before they are loaded."""

    def check(self) -> None:
        return

    def versions(self) -> dict[str, str]:
        return {}

    def identity(self, recorded: Mapping[str, LoadedSource]) -> PreliminaryIdentity:
        return PreliminaryIdentity()


def check_before_loading(
    config: RunConfig, planned: PlannedRun, model_checks: ModelChecks
) -> Manifest | None:
    """The manifest in `out` if this run is known to be finished, or None if there may be work.

    The dtype is not compared if the settings leave it open: it then follows from the device, and a finished
    dataset is labelled on no other device again. Raises FingerprintError for the dataset of another run,
    DatasetError if the folder holds something else, and CalibrationError for the calibration of other labels.
    """
    store = open_store(config.out)
    with asking_place(config.out):
        was_begun = store.exists(fingerprint_file(RUN)) or find_manifest(store) is not None
    hashes_weights = was_begun or config.calibration is not None
    identity = model_checks.identity(load_weights_record(store)) if hashes_weights else PreliminaryIdentity()
    if config.calibration is not None:
        check_match(read_calibration(config.calibration)[0], origin_of_labeller(identity), config.force)
    known = preliminary_fingerprint(config, identity, planned.corpus)
    manifest = check_begun(
        store, known, lambda: describe_change(store, planned.shards.entries), replay=config.replay_rejects
    )
    is_known = known.keys() >= LATE_ENTRIES - {"dtype"}
    return manifest if is_known and not config.replay_rejects else None
