"""Settings of the service that are of no use: one line names the variable and what is wanted."""

import json
import os
import sys
from pathlib import Path

import pytest

from fo1_data.cli.main import main
from fo1_data.errors import ConfigError
from services.database.engine import database_url
from services.security.sessions import Sessions
from services.security.signing import UrlSigner
from services.settings import load_settings


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FO1_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("STORAGE_ROOTS", "/data", "lists are JSON"),
        ("STORAGE_ROOTS", "[" * 30_000, "lists are JSON"),
        ("STORAGE_ROOTS", '{"a": 1}', "list"),
        ("STORAGE_ROOTS", '["/data", 3]', "string"),
        ("STORAGE_ROOTS", '["/data", ""]', "is no folder and no URL"),
        ("STORAGE_ROOTS", '["/a\\u0000b"]', "is no folder and no URL"),
        ("STORAGE_ROOTS", '["/a\\ud800b"]', "is no folder and no URL"),
        ("STORAGE_ROOTS", '["s3://bucket/../a"]', "is no folder and no URL"),
        ("SECOND_OPINION_SERVERS", '["http://[::1"]', "not the address of a server"),
        ("SECOND_OPINION_SERVERS", '["http://\\ud800"]', "not the address of a server"),
        ("SECOND_OPINION_SERVERS", '["http://"]', "not the address of a server"),
        ("LABEL_STUDIO_URL", "review.example.org", "https://"),
        ("LABEL_STUDIO_URL", "http://[::1", "https://"),
        ("PREDICT_URL", "http://h:many/", "https://"),
        ("PUBLIC_URL", "http://", "https://"),
        ("DATABASE_URL", "postgresql://h:many/x", "not a database URL"),
        ("DATABASE_URL", "postgresql://[::1/x", "not a database URL"),
        ("DATABASE_URL", "postgresql://h:" + "9" * 5000, "not a database URL"),
        ("DATABASE_URL", "sqlite:///\udcff", "not a database URL"),
        ("HOST", "a..b", "not the name or address of a machine"),
        ("HOST", "x" * 300, "not the name or address of a machine"),
        ("HOST", "h o s t", "not the name or address of a machine"),
        ("IMAGE_URL_DAYS", "inf", "finite"),
        ("IMAGE_URL_DAYS", "1e308", "less than or equal to 36500"),
        ("SESSION_HOURS", "1e308", "less than or equal to"),
        ("RECONCILE_EVERY_S", "1e300", "less than or equal to"),
        ("PREDICT_GPUS", "nan", "finite"),
        ("KEY_FAILURES_PER_MINUTE", "1" + "0" * 30, "less than or equal to"),
        ("MAX_JOBS_AT_WORK", "1" + "0" * 30, "less than or equal to"),
        ("SECRET_KEY", "a secret of many \udcff", "UTF-8"),
    ],
)
def test_a_line_names_the_variable_and_the_form(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, wanted: str
) -> None:
    monkeypatch.setenv(f"FO1_{name}", value)
    with pytest.raises(ConfigError) as raised:
        settings = load_settings()
        database_url(settings)
    words = str(raised.value)
    assert words.startswith(f"FO1_{name}")
    assert wanted in words
    assert words.isprintable()
    assert len(words) < 300


def test_the_longest_times_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FO1_IMAGE_URL_DAYS", "36500")
    monkeypatch.setenv("FO1_SESSION_HOURS", "876000")
    settings = load_settings()
    signer = UrlSigner(settings.secret, settings.base_url, settings.image_url_days)
    assert "expires=" in signer.url("ab", "grant")
    sessions = Sessions(settings.secret, settings.session_hours)
    assert sessions.read(sessions.cookie(sessions.start("key"))) is not None


def test_lists_and_urls_are_taken_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = ["/data", "relative", "s3://bucket/a b", "file:///d%20e"]
    monkeypatch.setenv("FO1_STORAGE_ROOTS", json.dumps(roots))
    monkeypatch.setenv("FO1_SECOND_OPINION_SERVERS", '["http://vllm:8000/v1/"]')
    monkeypatch.setenv("FO1_LABEL_STUDIO_URL", "https://h:8080/review/")
    monkeypatch.setenv("FO1_PUBLIC_URL", "")
    settings = load_settings(host="::1")
    assert (settings.storage_roots, settings.second_opinion_servers) == (roots, ["http://vllm:8000/v1"])
    assert (settings.label_studio_url, settings.public_url) == ("https://h:8080/review", None)


def test_a_home_of_nobody_is_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FO1_HOME", "~no-such-user/x")
    assert load_settings().home == tmp_path / "~no-such-user" / "x"
    monkeypatch.setenv("FO1_HOME", "~/x")
    assert load_settings().home == tmp_path / "x"


def test_an_address_that_no_machine_has_ends_serve_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FO1_SECRET_KEY", "a" * 16)
    monkeypatch.setenv("FO1_STORAGE_ROOTS", '["/data"]')
    monkeypatch.setattr(sys, "argv", ["fo1", "serve", "--host", "a..b", "--port", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    assert (ended.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    assert "FO1_HOST" in output.err
