"""Images that did not arrive because nothing of the corpus does: they are no rejects.

Their host does not reach the stores of the corpus, or the stores are down. On a cluster another host tries
them; where no host reaches the corpus, its run ends, for the same command to go on.
"""

from collections.abc import Sequence

from fo1_data.errors import StorageError
from fo1_data.storage.witnesses import any_answers, choose_witnesses, places_looked_at
from schemas.corpus import CorpusImage
from schemas.images import Reject, RejectStage

_SILENT = ("timeout", "unreadable")


def witnesses_of(entries: Sequence[CorpusImage]) -> tuple[str, ...]:
    """Addresses by which a labeller tells whether it reaches the corpus (`fo1_data.storage.witnesses`)."""
    return choose_witnesses([entries[place].origin.uri for place in places_looked_at(len(entries))])


def refuse_unreached(rejects: Sequence[Reject], witnesses: Sequence[str], timeout_s: float) -> None:
    """Raise StorageError if there are images that did not arrive, and no witness answers either."""
    silent = [
        reject
        for reject in rejects
        if reject.stage is RejectStage.FETCH and reject.replayable and reject.reason in _SILENT
    ]
    if silent and not any_answers(witnesses, timeout_s):
        raise StorageError(f"nothing of the corpus can be fetched: {silent[0].message}")
