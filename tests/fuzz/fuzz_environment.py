"""The environment of the service: settings that it can start with, or a line that names a variable."""

import contextlib
import json
import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz_outcomes import check_line
from fuzz_target import Runner, check
from odd_values import ODD_NUMBERS, ODD_TEXTS, change, changed_text, num_changes

from fo1_data.errors import ConfigError
from fo1_data.logs import LogFormat, LogLevel
from services.database.engine import database_url
from services.security.sessions import Sessions
from services.security.signing import UrlSigner
from services.settings import Settings, load_settings
from services.storage_roots import OutsideRoots, StorageRoots

# In every secret that is set.
_MARK = "pssst"
# Of variables that are no numbers, lists or switches: how they are usually written. No path is absolute:
# what is made of it lies in the folder of the inputs.
_TEXTS = {
    "home": ("home", "~/home", "a/b"),
    "host": ("127.0.0.1", "::1", "[::1]", "localhost", "0.0.0.0", "example.org"),
    "database_url": (
        "sqlite:///x.db",
        "postgresql://u:pssst@h:5432/name",
        "postgresql://h/d?sslmode=require",
    ),
    "ray_address": ("http://head:8265", "head:6379", "auto"),
    "predict_url": ("http://head:8000/predict",),
    "predict_model": ("fo1-tiny", "owner/name"),
    "label_studio_url": ("https://review.example.org/", "http://[::1]:8080"),
    "public_url": ("https://labels.example.org", "http://h:8080/"),
    "log_format": tuple(LogFormat),
    "log_level": tuple(LogLevel),
}
_SECRETS = ("predict_token", "label_studio_token", "secret_key", "second_opinion_key")
_LISTS = {
    "storage_roots": ["/data", "s3://bucket/a", "file:///d%20e"],
    "second_opinion_servers": ["http://vllm:8000/v1", "https://h"],
}
_SWITCHES = ("ray_may_grow", "predict_at_start", "allow_private_addresses")


@contextmanager
def environment(folder: Path) -> Iterator[Runner]:
    # Names with `..` stay in the folder of the inputs.
    place = folder / "a" / "b" / "c"
    place.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("FO1_")}

    def run(chance: random.Random) -> str:
        given = _given(chance)
        host, port = _options(chance)
        with contextlib.chdir(place), _environment(kept | {"HOME": str(place)} | given):
            return _started(given, host, port)

    yield run


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(values)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _given(chance: random.Random) -> dict[str, str]:
    """Some variables by name, most of them valid; some names in lower case or unknown."""
    given = {}
    for field in chance.sample(list(Settings.model_fields), chance.choice((1, 1, 2, 3, 6))):
        value = _value(field, chance)
        if chance.random() < 0.4:
            odd_number = str(chance.choice((*ODD_NUMBERS, "9" * 6000, "1e9999", "-inf")))
            value = chance.choice((changed_text(value, chance), chance.choice(ODD_TEXTS), odd_number))
            value += _MARK if field in _SECRETS else ""
        if field == "home":
            value = value.lstrip("/")
        name = f"FO1_{field}".upper() if chance.random() < 0.95 else f"fo1_{field}"
        given[name] = _settable(value)
    if chance.random() < 0.05:
        given[f"FO1_{_settable(chance.choice(ODD_TEXTS)).replace('=', '')}X"] = "1"
    return given


def _value(field: str, chance: random.Random) -> str:
    if field in _LISTS:
        document = list(_LISTS[field])
        change(document, chance, num_changes(chance))
        deep = chance.choice(("[" * 30_000, '["a", ' * 20_000)) if chance.random() < 0.02 else ""
        return deep or json.dumps(document, default=str)
    if field in _SECRETS:
        return _MARK * chance.choice((1, 4))
    if field in _SWITCHES:
        return chance.choice(("true", "0", "yes", "off"))
    return chance.choice(_TEXTS.get(field, ("1", "2.5", "4096", "1e6", "1_000")))


def _settable(text: str) -> str:
    """What an environment can hold: no null, and half a surrogate pair only as a byte that is not UTF-8."""
    return "".join(
        "\udcff" if "\ud800" <= letter <= "\udfff" else letter for letter in text if letter != "\0"
    )


def _options(chance: random.Random) -> tuple[str | None, int | None]:
    """`--host` and `--port`, which are seldom given."""
    hosts = ("", "::", "h o s t", "a..b", "x" * 300, "\u4e2d.example")
    host = chance.choice(hosts) if chance.random() < 0.05 else None
    port = chance.choice((-1, 0, 65_535, 65_536, 10**30)) if chance.random() < 0.05 else None
    return host, port


def _started(given: dict[str, str], host: str | None, port: int | None) -> str:
    """The settings do for all that the service makes of them before it listens."""
    try:
        settings = load_settings(host=host, port=port)
        settings.check_exposure()
        _use(settings)
    except ConfigError as error:
        _check_words(str(error), {*map(str.upper, given), *_named(host, port)})
        return "refused"
    return "settings"


def _named(host: str | None, port: int | None) -> Iterator[str]:
    if host is not None:
        yield "FO1_HOST"
    if port is not None:
        yield "FO1_PORT"


def _check_words(words: str, given: set[str]) -> None:
    """The line names a variable that was given, or one that is missing beside the host, and no secret."""
    check_line(words)
    check(_MARK not in words, "a secret is told:", words)
    missing = {"FO1_SECRET_KEY", "FO1_STORAGE_ROOTS", "FO1_HOME"}
    named = [name for name in given | missing if name in words]
    check(bool(named), "no variable is named:", words, given)
    check(len(words) > len(max(named, key=len)) + 10, "what is wanted is not said:", words)
    check(words.isprintable(), "cannot be shown:", words)


def _use(settings: Settings) -> None:
    for name, value in settings:
        check(not isinstance(value, float) or math.isfinite(value), name, "is", value)
    check(settings.home.is_absolute(), settings.home)
    database_url(settings)
    signer = UrlSigner(settings.secret, settings.base_url, settings.image_url_days)
    check(signer.expires() > 0, settings.image_url_days)
    signer.url("ab" * 32, "grant").encode()
    sessions = Sessions(settings.secret, settings.session_hours)
    login = sessions.start("key_1")
    lasts = sessions.read(sessions.cookie(login)) == login
    check(lasts or sessions.lasts_s < 60, "a login that is not read", settings.session_hours)
    roots = StorageRoots(settings.roots)
    with contextlib.suppress(OutsideRoots):
        roots.check(settings.roots[0])
