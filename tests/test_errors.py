"""Every exception survives the way between processes and keeps its message."""

import inspect
import pickle

import pytest

from fo1_data import errors
from schemas.images import RejectStage

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_exceptions_survive_pickling(cls: type[Exception]) -> None:
    error = (
        errors.InputReject(RejectStage.DECODE, "truncated", "the file ends early", True)
        if cls is errors.InputReject
        else cls("no such folder: name one that exists")
    )

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_exit_codes_follow_the_tree(cls: type[Exception]) -> None:
    if issubclass(cls, errors.UsageError):
        assert cls.exit_code == 2
    elif issubclass(cls, errors.Fo1Error):
        assert cls.exit_code == 1


def test_the_module_draws_every_exception_in_its_tree() -> None:
    for cls in ALL:
        if cls is not errors.InputReject:
            assert cls.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("message", "line"),
    [("one\ntwo", "one"), ("\n  one \n", "one"), ("", "ValueError"), (" \n", "ValueError")],
)
def test_the_first_line_of_an_error_is_never_blank(message: str, line: str) -> None:
    assert errors.first_line(ValueError(message)) == line
