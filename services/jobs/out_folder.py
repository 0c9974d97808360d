"""What already lies in the folder that a job would write to. Reads storage: run it in a thread."""

from fo1_data.dataset.begun_run import check_begun, read_begun
from fo1_data.dataset.layout import MANIFEST
from fo1_data.dataset.lease import refuse_held
from fo1_data.dataset.manifest import find_manifest
from fo1_data.errors import Fo1Error, StorageError
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.runs.fingerprint import DECODERS, ListedCorpus, preliminary_fingerprint
from fo1_data.storage.addresses import local_path
from fo1_data.storage.store import open_store
from schemas.corpus import NOT_KEPT
from schemas.jobs import RunConfig
from services.problems import Problem, http_message


def conflict_in(config: RunConfig) -> Problem | None:
    """Return a Problem of 409 if a driver works in `out`, or it holds what is no run of these settings.

    The weights and the corpus' listing are compared later, by the driver. A store that does not answer is
    no conflict.
    """
    try:
        store = open_store(config.out)
        refuse_held(store)
        begun = read_begun(store, find_manifest(store)) or {}
        listed = ListedCorpus(
            begun.get("listing_sha256") or "", begun.get("corpus_name") == NOT_KEPT, begun.get(DECODERS) or ()
        )
        known = preliminary_fingerprint(config, PreliminaryIdentity(), listed)
        check_begun(store, known, lambda: "", replay=config.replay_rejects)
    except StorageError:
        return None
    except Fo1Error as error:
        return _conflict(http_message(str(error)))
    path = local_path(config.out)
    outer = next((parent for parent in path.parents if (parent / MANIFEST).is_file()), None) if path else None
    return _conflict(f"{config.out} lies in the dataset {outer}: take another out") if outer else None


def _conflict(message: str) -> Problem:
    return Problem(409, f"out: {message}", errors=[{"field": "out", "message": message}])
