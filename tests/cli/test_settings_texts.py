"""Every setting is described once, in its model: help, OpenAPI text and the settings page come from there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from fo1_data.cli.setting_texts import setting_texts
from fo1_data.cli.settings_page import settings_page
from fo1_data.training.settings import TrainConfig
from schemas.jobs import NOT_IN_FINGERPRINT, RunConfig
from services.api.jobs import JobRequest
from services.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("model", [RunConfig, TrainConfig, Settings])
def test_every_setting_says_what_it_is_and_what_no_value_means(model: type[BaseModel]) -> None:
    for text in setting_texts(model):
        assert text.description, text.name
        assert text.required or text.default, f"{text.name}: say what the default means"


def test_the_settings_page_is_not_stale() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run: python -m fo1_data.cli.settings_page docs/settings.md"


def test_a_job_shows_the_descriptions_of_a_run() -> None:
    members = JobRequest.model_json_schema()["properties"]
    for name, field in RunConfig.model_fields.items():
        assert members[name]["description"] == field.description


def test_the_help_of_label_has_every_setting_with_range_and_default() -> None:
    command = [sys.executable, "-m", "fo1_data.cli.main", "label", "--help"]
    environment = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    for text in setting_texts(RunConfig):
        assert text.help in shown
        assert text.name == "corpus" or f"--{text.name.replace('_', '-')} " in shown
    assert "Range: 1 to 10000. Default: 32." in shown
    assert "Default: brief_caption,grounded_caption." in shown


def test_settings_that_change_no_row_stay_out_of_the_fingerprint() -> None:
    assert {"out", "actors", "device", "strict", "download_timeout_s"} <= NOT_IN_FINGERPRINT
    assert not {"model", "labels", "shard_size", "dtype", "seed", "max_pixels"} & NOT_IN_FINGERPRINT
