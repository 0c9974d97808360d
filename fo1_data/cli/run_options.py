"""The options of `fo1 label`, `fo1 plan` and `fo1 route` that are settings of a run, made from `RunConfig`.

An option has the long name of its setting with dashes; a TOML file uses the name with underscores. Declares
and collects options; `fo1_data.config` checks the values.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from fo1_data.cli.setting_texts import SettingText, setting_texts
from schemas.jobs import RunConfig

Command = Callable[..., None]
_ARGUMENT = "corpus"
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def with_run_options(*names: str) -> Callable[[Command], Command]:
    """Give a typer command the options of these settings (none named: all) as a dict in `settings`.

    The dict holds what the user gave. A flag that is off counts as not given, since a TOML file may turn
    it on; a zero is given. A parameter that the command declares itself is left to it.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command).parameters
        options = [
            text
            for text in setting_texts(RunConfig)
            if text.name not in own and (not names or text.name in names)
        ]
        parameters = [
            *_parameters(options),
            *(parameter.replace(kind=_KEYWORD_ONLY) for name, parameter in own.items() if name != "settings"),
        ]

        def wrapped(**values: Any) -> None:
            options_given = {text.name: values.pop(text.name) for text in options}
            settings = {
                name: value
                for name, value in options_given.items()
                if value is not None and value is not False
            }
            command(**values, settings=settings)

        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def _parameters(options: list[SettingText]) -> Iterator[inspect.Parameter]:
    for text in options:
        is_flag = text.value_type is bool
        kind: Any = bool if is_flag else text.value_type | None
        yield inspect.Parameter(
            text.name,
            _KEYWORD_ONLY,
            annotation=Annotated[kind, _declaration(text)],
            default=False if is_flag else None,
        )


def _declaration(text: SettingText) -> Any:
    if text.name == _ARGUMENT:
        return typer.Argument(help=text.help, show_default=False)
    flag = f"--{text.name.replace('_', '-')}"
    return typer.Option(flag, help=text.help, rich_help_panel=text.group, show_default=False)
