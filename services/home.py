"""The service's own folder and its files, which this user alone may read: one of them is the secret."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from fo1_data.errors import ConfigError

DATABASE_FILE = "fo1.db"
SECRET_FILE = "secret.key"


def stored_secret(home: Path) -> bytes:
    """The key of the service, made at the first start. Raises ConfigError if it cannot be read or written."""
    path = home / SECRET_FILE
    make_home(home)
    written = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            with open_private(written, "xb") as file:
                file.write(secrets.token_hex(32).encode())
            with suppress(FileExistsError):
                os.link(written, path)  # whole or not at all: several processes may start at once
    except OSError as error:
        raise _unwritable(home, error) from None
    finally:
        written.unlink(missing_ok=True)
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(secret) < 32:
        raise ConfigError(f"{path} is damaged: delete it (this ends all signed URLs and logins)")
    return secret


def make_home(folder: Path) -> None:
    """Create a folder of the service's own files, for this user alone. Raises ConfigError if it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file for writing (`open`'s modes); a new one can be read by this user alone."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder} cannot be written ({error.strerror}): set FO1_HOME to a folder of your own")
