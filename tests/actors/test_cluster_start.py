"""A local Ray that a busy machine could not start in time is started again; what else goes wrong is told."""

import os
from pathlib import Path

import pytest
import ray

from actors.cluster import STARTS, ray_for
from fo1_data.errors import ClusterError
from schemas.jobs import RunConfig

CONFIG = RunConfig(corpus="-", out="-")
TIMED_OUT = "The current node timed out during startup. This could happen because"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What each start of Ray ends with, the first one last; one that is not there fails the test."""
    ends: list[Exception | None] = []

    def start(**given: object) -> None:
        if (end := ends.pop()) is not None:
            raise end

    monkeypatch.setattr(ray, "init", start)
    return ends


def test_a_slow_start_is_tried_again(starts: list[Exception | None]) -> None:
    starts += [None, Exception(TIMED_OUT), Exception(TIMED_OUT)]
    with ray_for(CONFIG):
        assert not starts


def test_a_machine_too_slow_for_ray_is_one_line(starts: list[Exception | None]) -> None:
    starts += [Exception(TIMED_OUT)] * STARTS
    with pytest.raises(ClusterError, match="timed out during startup"), ray_for(CONFIG):
        pass
    assert not starts


def test_what_does_not_pass_is_told_at_once(starts: list[Exception | None]) -> None:
    starts.append(ValueError("no such option"))
    with pytest.raises(ClusterError, match="no such option"), ray_for(CONFIG):
        pass


def test_a_run_has_a_token_of_its_own_unless_the_user_has_one(
    starts: list[Exception | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the user")
    starts += [None, None]
    with ray_for(CONFIG):
        assert os.environ["RAY_AUTH_TOKEN"] == "of the user"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with ray_for(CONFIG):
        assert len(bytes.fromhex(os.environ["RAY_AUTH_TOKEN"])) == 32
    assert not [*tmp_path.rglob("auth_token")]
