"""Addresses of files: local paths and URLs, and the file system behind each.

An address is an absolute local path, or a URL (`file://`, `s3://`, `gs://`, `https://`, or any that pyarrow
or fsspec supports). The part after the scheme is used as written: an object's key may contain spaces, `#` and
`%`. Only `file://` is percent-decoded; it also represents local names that are not UTF-8, which a Parquet row
could not store otherwise.

Does not read or write file contents. Arrow is imported at the first use of a file system: most commands need
addresses alone.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from fo1_data.errors import ConfigError
from fo1_data.home_folders import expand_home

if TYPE_CHECKING:
    from pyarrow import fs as pafs

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_WEB = ("http", "https")
_TRUE = frozenset({"1", "true", "yes"})
REQUEST_TIMEOUT_S = 30.0


def scheme_of(address: str) -> str:
    """The scheme in lower case; empty for a local path."""
    if "://" not in address:
        return ""
    match = _SCHEME.match(address)
    return match.group(1).lower() if match else ""


def is_web(address: str) -> bool:
    """Whether the address is `http://` or `https://`, which can be read but not listed."""
    return scheme_of(address) in _WEB


def local_path(address: str) -> Path | None:
    """The path of a local address; None if it is remote."""
    scheme = scheme_of(address)
    if scheme == "":
        return Path(address)
    if scheme == "file":
        rest = address.split("://", 1)[1].removeprefix("localhost")
        return Path(os.fsdecode(unquote_to_bytes(rest)))
    return None


def address_of(path: Path | str) -> str:
    """The address of a local path: the absolute path, or a `file://` URL if it is not UTF-8."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", resolve follows links
    try:
        absolute.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(absolute))
    return absolute


def store_of(address: str) -> str:
    """The bucket or the web server of a remote address, as a URL; empty for a local path."""
    return "" if local_path(address) is not None else "/".join(address.split("/", 3)[:3])


def normalise(address: str) -> str:
    """The normal form of an address: local paths absolute, without `file://` if the name allows it."""
    path = local_path(address)
    return address if path is None else address_of(expand_home(path))


def join(folder: str, name: str) -> str:
    """The address of `name` as written in a file in `folder`; an absolute name is kept."""
    if scheme_of(name):
        return normalise(name)
    path = folder if not scheme_of(folder) else local_path(folder)
    if path is not None:
        return address_of(os.path.join(path, name))  # noqa: PTH118 - a tenth of the time of Path
    scheme, rest = folder.split("://", 1)
    if name.startswith("/"):
        return f"{scheme}://{rest.split('/', 1)[0]}{name}"
    parts = rest.rstrip("/").split("/")
    for part in name.split("/"):
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return f"{scheme}://{'/'.join(parts)}"


def parent(address: str) -> str:
    """The folder of an address (the top of a store is its own parent)."""
    path = local_path(address)
    if path is not None:
        return address_of(path.parent)
    scheme, rest = address.split("://", 1)
    head, _, _ = (_without_query(rest) if is_web(address) else rest).rstrip("/").rpartition("/")
    return f"{scheme}://{head}" if head else address


def base_name(address: str) -> str:
    """The last part of an address, without the query of a web address."""
    scheme = scheme_of(address)
    if not scheme:
        name = address.rpartition("/")[2]
        return name if name not in ("", ".") else Path(address).name
    path = local_path(address) if scheme == "file" else None
    if path is not None:
        return path.name
    rest = address.split("://", 1)[1]
    return (_without_query(rest) if scheme in _WEB else rest).rstrip("/").rpartition("/")[2]


def suffix_of(address: str) -> str:
    """The suffix in lower case with its dot; `.tar.gz` is a single suffix."""
    return suffix_of_name(base_name(address))


def suffix_of_name(name: str) -> str:
    """`suffix_of` for the name of a file."""
    name = name.lower()
    if name.endswith(".tar.gz"):
        return ".tar.gz"
    start = name.rfind(".")
    return name[start:] if 0 < start < len(name) - 1 else ""


def _without_query(rest: str) -> str:
    return rest.partition("#")[0].partition("?")[0]


def s3_endpoint() -> str | None:
    """The S3 endpoint in the environment, read as by AWS' own tools."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def file_system(address: str, timeout_s: float = REQUEST_TIMEOUT_S) -> "tuple[pafs.FileSystem, str]":
    """The file system of an address and the path in it.

    `timeout_s`: limit of one request to S3. Credentials, region and endpoint come from AWS' usual environment
    variables. Raises ConfigError if no installed package supports the scheme.
    """
    from pyarrow import fs as pafs

    path = local_path(address)
    if path is not None:
        return pafs.LocalFileSystem(), str(path.absolute())
    scheme, rest = address.split("://", 1)
    if scheme.lower() == "s3":
        anonymous = os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in _TRUE
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        bucket = rest.split("/", 1)[0] if region is None and s3_endpoint() is None else None
        return _s3(s3_endpoint(), region, bucket, anonymous, timeout_s), rest
    try:
        system_and_path: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(address)
        return system_and_path
    except (ValueError, NotImplementedError, OSError):
        return _from_fsspec(address)


@lru_cache(maxsize=32)
def _s3(
    endpoint: str | None, region: str | None, bucket: str | None, anonymous: bool, timeout_s: float
) -> "pafs.FileSystem":
    from pyarrow import fs as pafs

    options: dict[str, Any] = {"request_timeout": timeout_s, "connect_timeout": timeout_s}
    if endpoint:
        scheme, _, host = endpoint.rstrip("/").rpartition("://")
        options |= {"endpoint_override": host, "scheme": scheme or "https"}
    if bucket is not None:
        region = pafs.resolve_s3_region(bucket)
    if region:
        options["region"] = region
    return pafs.S3FileSystem(anonymous=anonymous, **options)


def _from_fsspec(address: str) -> "tuple[pafs.FileSystem, str]":
    from pyarrow import fs as pafs

    file_system, path = fsspec_file_system(address)
    return pafs.PyFileSystem(pafs.FSSpecHandler(file_system)), path


def fsspec_file_system(address: str) -> tuple[Any, Any]:
    """The fsspec file system of an address and the path in it. Raises ConfigError if there is none."""
    import fsspec

    options: dict[str, Any] = {}
    if scheme_of(address) == "s3":
        options["anon"] = os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in _TRUE
        if s3_endpoint():
            options["client_kwargs"] = {"endpoint_url": s3_endpoint()}
    try:
        file_system, path = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise ConfigError(
            f"{scheme_of(address)}:// needs a package that is not installed ({error}); "
            "install fo1-data[stores] or the fsspec package of that store"
        ) from error
    except ValueError as error:
        raise ConfigError(f"no file system for {address}: {error}") from error
    return file_system, path


def refuse_taken(folder: Path) -> None:
    """Raise ConfigError unless a local path is free for a new folder: not there, or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: name a new folder")
