"""What stands for addresses and UIDs that must not be written: keyed hashes.

A hash of a path or a UID alone hides little: whoever guesses the path can check the guess. So the hashes are
made with a secret key (HMAC-SHA256), which stays on the machine that lists the corpus: in `dicom.key` under
FO1_HOME, made at the first use. The same key gives the same hashes, so a run is resumed and its rejects are
found again; another key gives others.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from fo1_data.errors import ConfigError, refuse_full_disk
from fo1_data.home_folders import expand_home, folder_below_home
from schemas.corpus import HIDDEN

KEY_FILE = "dicom.key"
_DIGITS = 32
_KEY_BYTES = 32


def keyed_hash(text: str) -> str:
    """A hash (hex) that nobody without the key can check a guess against. Raises ConfigError."""
    return hmac.new(_key(_key_place()), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :_DIGITS
    ]


def _key_place() -> Path:
    chosen = os.environ.get("FO1_HOME")
    if chosen:
        return expand_home(chosen) / KEY_FILE
    return folder_below_home("XDG_DATA_HOME", ".local/share") / "fo1-data" / KEY_FILE


@lru_cache(maxsize=4)
def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        refuse_full_disk(error)
        raise ConfigError(
            f"the key of hidden addresses cannot be kept at {path}: {error.strerror or error} "
            "(FO1_HOME names another folder)"
        ) from None
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path} is no key of hidden addresses: it must have {_KEY_BYTES} bytes")
    return key


def _make_key(path: Path) -> None:
    """Write a key that only its owner can read; of several processes the first one's stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def hidden_address(address: str) -> str:
    """What stands for an address."""
    return f"{HIDDEN}{keyed_hash(address)}"
