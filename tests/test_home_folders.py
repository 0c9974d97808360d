"""Homes of users: of nobody, and of a user who has none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fo1_data.home_folders import expand_home, home_folder
from fo1_data.storage.addresses import normalise


def test_a_name_of_nobody_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert expand_home("~/a") == tmp_path / "a"
    assert expand_home("~no-such-user/a") == Path("~no-such-user/a")
    assert normalise("~no-such-user/a") == str(tmp_path / "~no-such-user" / "a")
    assert home_folder() == tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who has no home")
@pytest.mark.parametrize("place", ["services.settings.load_settings", "fo1_data.model.node_cache.cache_root"])
def test_a_user_without_a_home_is_told_what_to_set(place: str) -> None:
    """As in a container that runs under a number without a name."""
    module, _, function = place.rpartition(".")
    script = (
        f"import os; from {module} import {function}; from fo1_data.errors import ConfigError\n"
        "os.setuid(54321)\n"
        f"try: {function}()\n"
        "except ConfigError as error: print(error)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert "set HOME" in done.stdout
