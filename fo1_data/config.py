"""Settings of a run: reads a TOML file, overrides it with options, and returns a checked `RunConfig`.

Unknown keys and values out of range raise a ConfigError of one line that names them. Paths of local
files become absolute, so that workers in other folders find them. Imports no torch.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fo1_data.errors import ConfigError, one_line
from fo1_data.home_folders import expand_home
from schemas.corpus import NOT_KEPT
from schemas.jobs import RunConfig
from schemas.problems import message_of

# Settings whose value is a path unless it is a URL.
_PATHS = ("corpus", "out", "phrases", "calibration", "parent")
# Settings whose value may also be a hub id or the name of something bundled.
_PATHS_OR_NAMES = ("model", "proposals", "masks", "second_opinion")


def load_run(path: str | None = None, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """The settings of the TOML file `path`, overridden by `overrides`; values of None override nothing.

    Raises ConfigError if the file cannot be read, a key is unknown, or a value is not allowed.
    """
    settings = _read_toml(path) if path else {}
    settings.update({key: value for key, value in (overrides or {}).items() if value is not None})
    unknown = sorted(set(settings) - set(RunConfig.model_fields))
    if unknown:
        place = f" in {path}" if path else ""
        names = " ".join(", ".join(unknown).split())
        raise ConfigError(f"unknown setting{place}: {names} (see fo1 label --help)")
    try:
        return RunConfig.model_validate(_absolute(settings))
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def resolved(config: RunConfig, hides_corpus: bool = False) -> dict[str, Any]:
    """Every setting with its value, ready for JSON. It is stored with the dataset.

    `hides_corpus`: without the corpus' address, which must not be written.
    """
    return config.model_dump(mode="json") | ({"corpus": NOT_KEPT} if hides_corpus else {})


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the settings file {path}: {one_line(error)}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    for key in (*_PATHS, *_PATHS_OR_NAMES):
        value = settings.get(key)
        if not isinstance(value, str) or not value or "://" in value:
            continue
        local = expand_home(value)
        # A hub id or a bundled name looks like a relative path. It is a path only if that exists.
        if key in _PATHS or local.exists():
            settings[key] = str(Path.cwd() / local)
    return settings


def _one_line(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        message = message_of(problem)
        if problem["type"] == "missing":
            message = "not given (give it as an argument or option, or in --config)"
        problems.append(f"{name}: {message}" if name else message)
    return " ".join("; ".join(problems).split())


def corpus_name(config: RunConfig, is_hidden: bool = False) -> str:
    """The value of the column `corpus`: the name of the run, or else the last part of the corpus' address.

    `is_hidden`: whether the address must not be written.
    """
    if config.name or is_hidden:
        return config.name or NOT_KEPT
    return Path(config.corpus.rstrip("/")).name or config.corpus
