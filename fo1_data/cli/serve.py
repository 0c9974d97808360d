"""`fo1 serve`: runs the service, with an embedded part for each that is not configured."""

import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.service_database import in_database
from fo1_data.errors import ConfigError, RunError
from fo1_data.traces import check_traces

if TYPE_CHECKING:
    from fastapi import FastAPI

    from services.security.keys import NewKey
    from services.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: FO1_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: FO1_PORT, else 8080.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the service. The first start prints an admin key, once.

    Environment variables configure it: docs/settings.md lists them.
    """
    from services.app import create_app
    from services.security.keys import first_key
    from services.settings import load_settings

    settings = load_settings(host=host, port=port)
    settings.check_exposure()
    check_traces()
    listener = _listen(settings.host, settings.port)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    key = in_database(settings, first_key)
    document = {"url": settings.base_url, "home": str(settings.home), "admin_key": key.key if key else None}
    emit(document, as_json, _start_text(settings, key))
    sys.stdout.flush()
    run_app(create_app(settings), listener, settings.base_url)


def run_app(app: "FastAPI", listener: socket.socket, url: str) -> None:
    """Serve an application at `url` until it is interrupted. Raises RunError if it does not start."""
    from services.server import run_server

    try:
        say(f"fo1: serving at {url} (dashboard {url}/, API {url}/docs); Ctrl-C stops it")
        run_server(app, listener)
    except KeyboardInterrupt:
        return
    except SystemExit:
        raise RunError("the service did not start; the lines above say why") from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return listener


def _start_text(settings: "Settings", key: "NewKey | None") -> str:
    lines = [f"home       {settings.home}", f"may touch  {', '.join(settings.roots)}"]
    if key is not None:
        lines += [
            f"admin key  {key.key}",
            "           (shown this once; more with: fo1 keys create --scope read)",
        ]
    return "\n".join(lines)
