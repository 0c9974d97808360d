"""Settings of a run: TOML in, explicit options over it, one checked `RunConfig` out.

Unknown keys and values out of range are ConfigErrors of one line that names them. Paths of local
files are made absolute, so that workers started elsewhere find them. Imports no torch.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fo1_data.errors import ConfigError
from schemas.jobs import RunConfig

# Settings that name a file or folder wherever they hold no URL and no name of something bundled.
_PATHS = ("corpus", "out", "phrases", "calibration", "parent")
_PATHS_OR_NAMES = ("model", "proposals")


def load_run(path: str | None = None, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """The settings of the TOML file `path` with `overrides` (None: not given) laid over them.

    Raises ConfigError where the file cannot be read, a key is unknown, or a value does not fit.
    """
    settings = _read_toml(path) if path else {}
    settings.update({key: value for key, value in (overrides or {}).items() if value is not None})
    unknown = sorted(set(settings) - set(RunConfig.model_fields))
    if unknown:
        where = f" in {path}" if path else ""
        raise ConfigError(f"unknown setting{where}: {', '.join(unknown)} (see fo1 label --help)")
    try:
        return RunConfig.model_validate(_absolute(settings))
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def resolved(config: RunConfig) -> dict[str, Any]:
    """Every setting with its value, as JSON-able data: what is stored beside the dataset."""
    return config.model_dump(mode="json")


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the settings file {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    for key in (*_PATHS, *_PATHS_OR_NAMES):
        value = settings.get(key)
        if not isinstance(value, str) or not value or "://" in value:
            continue
        local = Path(value).expanduser()
        # A hub id or a bundled name looks like a relative path: only what exists is one.
        if key in _PATHS or local.exists():
            settings[key] = str(Path.cwd() / local)
    return settings


def _one_line(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "not given (as an argument or option, or in --config)"
        problems.append(f"{name}: {message}" if name else message)
    return "; ".join(problems)


def corpus_name(config: RunConfig) -> str:
    """The value of the column `corpus`: the run's name, or the last part of the corpus' address."""
    if config.name:
        return config.name
    return Path(config.corpus.rstrip("/")).name or config.corpus
