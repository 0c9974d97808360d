"""A local Ray that a busy machine could not start in time is started again; what else goes wrong is told."""

import json
import os
from pathlib import Path

import pytest
import ray
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.job_config import JobConfig
from ray.runtime_env.runtime_env import _merge_runtime_env

from actors.cluster import STARTS, ray_for, runtime_env
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


def test_a_job_may_say_how_its_workers_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray takes no variable that both the job and its driver give to the workers."""
    given = {"FO1_LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    for name, value in {**given, "FO1_LOG_LEVEL": "debug", "OTEL_EXPORTER_OTLP_HEADERS": "key=k"}.items():
        monkeypatch.setenv(name, value)
    assert runtime_env()["env_vars"] == {**given, "FO1_LOG_LEVEL": "debug"}
    job = {"runtime_env": {"env_vars": given}, "metadata": {}}
    monkeypatch.setenv(RAY_JOB_CONFIG_JSON_ENV_VAR, json.dumps(job))
    merged = _merge_runtime_env(JobConfig.from_json(job).runtime_env, runtime_env())
    assert merged is not None
    assert merged["env_vars"] == {**given, "FO1_LOG_LEVEL": "debug"}


def test_a_job_may_leave_files_out_and_brings_no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"working_dir": "gcs://_ray_pkg_1.zip", "excludes": ["/data/"]}
    monkeypatch.setenv(RAY_JOB_CONFIG_JSON_ENV_VAR, json.dumps({"runtime_env": given, "metadata": {}}))
    merged = _merge_runtime_env(given, runtime_env())
    assert merged is not None
    assert len(merged["py_modules"]) == 4
    brought = {"runtime_env": {**given, "py_modules": ["gcs://_ray_pkg_2.zip"]}, "metadata": {}}
    monkeypatch.setenv(RAY_JOB_CONFIG_JSON_ENV_VAR, json.dumps(brought))
    with pytest.raises(ClusterError, match="leave py_modules out of the runtime environment of this Ray job"):
        runtime_env()
