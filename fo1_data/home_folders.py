"""The home of a user, for places below it and for paths that begin with `~`."""

import os
from pathlib import Path

from fo1_data.errors import ConfigError


def home_folder() -> Path:
    """The home of this user. Raises ConfigError for one without: a number without a name in a container."""
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError("this user has no home folder: set HOME to a folder of its own") from None


def folder_below_home(variable: str, default: str) -> Path:
    """The folder that an environment variable names, else `default` in the home. Raises ConfigError."""
    named = os.environ.get(variable)
    return Path(named) if named else home_folder() / default


def expand_home(path: Path | str) -> Path:
    """As `Path.expanduser`; what begins with `~` and a name of nobody stays as it is, as in a shell."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
