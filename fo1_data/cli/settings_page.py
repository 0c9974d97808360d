"""Writes the page on settings from their models: `python -m fo1_data.cli.settings_page docs/settings.md`."""

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from fo1_data.cli.setting_texts import SettingText, setting_texts
from fo1_data.training.settings import TrainConfig
from schemas.jobs import RunConfig

_TOP = """# Settings
<!-- Written by `python -m fo1_data.cli.settings_page docs/settings.md`: change the models, not this page. -->

Units are in the names: `_s` seconds, `_bytes` bytes, `_px` pixels; a `_share` is a number from 0 to 1.
Unknown settings are refused.
"""
_RUN = """
## Settings of a run
`fo1 label` and `fo1 plan` take them as options (`max_error` is `--max-error`) and from a TOML file
(`--config RUN.toml`; options override it), `POST /v1/jobs` as the members of its JSON body. `corpus` is the
argument of the commands. An option separates the values of a list by commas; TOML and JSON have lists.
"""
_TRAINING = """
## Settings of a training
`fo1 train` takes them from a TOML file (`--config TRAINING.toml`); `--steps` overrides it.
"""
_SERVICE = """
## Settings of the service
Environment variables of `fo1 serve` and `fo1 keys`. Lists are JSON, such as `["/data", "s3://bucket/x"]`.
"""
_OTHERS = """
## Other environment variables
| variable | read by | what it is |
| --- | --- | --- |
| `FO1_SERVICE_URL` | `fo1 review`, `fo1 dataset merge` | address of the service |
| `FO1_API_KEY` | `fo1 review`, `fo1 dataset merge` | key for the service, made by `fo1 keys create` |
| `FO1_CACHE_DIR` | every process that loads a model | folder of copied models (default: the user's cache) |
| `RAY_ADDRESS` | `fo1 label`, `fo1 plan`, `fo1 train` | the Ray cluster to use if `address` is not set |
"""


def settings_page() -> str:
    """The page as Markdown. Needs the extra `service`, whose settings it lists."""
    from services.settings import Settings

    groups = groupby(sorted(setting_texts(RunConfig), key=_group_order), key=lambda text: text.group)
    run = "".join(_section(f"### {group}\n" if group else "", texts) for group, texts in groups)
    training = _section("", setting_texts(TrainConfig))
    service = _section("", setting_texts(Settings), prefix="FO1_")
    return f"{_TOP}{_RUN}{run}{_TRAINING}{training}{_SERVICE}{service}{_OTHERS}"


def _group_order(text: SettingText) -> int:
    """Groups in the order of their first setting."""
    return [other.group for other in setting_texts(RunConfig)].index(text.group)


def _section(heading: str, texts: Iterable[SettingText], prefix: str = "") -> str:
    rows = [_row(text, prefix) for text in texts]
    head = "| setting | kind | default | what it is |\n| --- | --- | --- | --- |"
    return "\n".join([f"\n{heading}{head}", *rows, ""])


def _row(text: SettingText, prefix: str) -> str:
    name = f"{prefix}{text.name.upper()}" if prefix else text.name
    values = "one of `" + "`, `".join(text.choices) + "`" if text.choices and not text.is_list else text.kind
    if text.choices and text.is_list:
        values = "any of `" + "`, `".join(text.choices) + "`"
    kind = f"{values}, {text.range}" if text.range else values
    default = "required" if text.required else text.default or ""
    return f"| `{name}` | {kind} | {default} | {text.description} |".replace("|  |", "| |")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
