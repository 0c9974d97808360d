"""Under which settings a run that was begun goes on, and what is told of those that differ."""

import pytest

from fo1_data.dataset.begun_run import check_fingerprint
from fo1_data.errors import FingerprintError
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.runs.fingerprint import TRACKER, ListedCorpus, run_fingerprint
from schemas.jobs import RunConfig


def test_a_run_begun_before_a_setting_was_known_is_resumed_at_its_default() -> None:
    """Whatever settings are added to runs, a run that was begun without them goes on."""
    corpus = ListedCorpus("0" * 64, dicom_decoders=["pydicom 3"], has_tracks=True)
    now = run_fingerprint(RunConfig(corpus="a", out="b"), PreliminaryIdentity(), corpus)
    settings = [name for name in now if name in RunConfig.model_fields and name != TRACKER]
    assert "second_opinion_view" in settings
    for name in settings:
        check_fingerprint("b", {key: value for key, value in now.items() if key != name}, now)


def test_a_setting_that_a_run_did_not_know_counts_at_its_default() -> None:
    with pytest.raises(FingerprintError, match=r'second_opinion_view: "crop" -> "box"'):
        check_fingerprint("b", {}, {"second_opinion_view": "box"})
    with pytest.raises(FingerprintError, match=r"min_side: null -> 3"):
        check_fingerprint("b", {}, {"min_side": 3})
    with pytest.raises(FingerprintError, match=r"track_every: 2 -> 1"):
        check_fingerprint("b", {"track_every": 2}, {"track_every": 1})
