"""The servers that jobs may ask for a second opinion, and the key that goes with their questions.

Such a server is sent crops of a job's images, so it is the operator who lists them
(`FO1_SECOND_OPINION_SERVERS`); their networks may be private ones. A job names one of them with a model:
`https://HOST/v1#MODEL`.
"""

from collections.abc import Sequence
from urllib.parse import urldefrag

from fo1_data.errors import ConfigError
from fo1_data.opinions.server import KEY_VARIABLE
from fo1_data.storage.addresses import is_web
from schemas.jobs import RunConfig
from services.settings import Settings


def refusal(spec: str, allowed: Sequence[str]) -> str | None:
    """Why jobs may not ask this server, in one line; None if they may. The addresses are compared as text."""
    if urldefrag(spec).url.rstrip("/") in allowed:
        return None
    listed = f"one of {', '.join(allowed)}" if allowed else "none"
    return (
        f"jobs may send pictures only to servers that the service lists ({listed}): have the address added "
        "to FO1_SECOND_OPINION_SERVERS, or name a checkpoint"
    )


def variables(config: RunConfig, settings: Settings) -> dict[str, str]:
    """The environment variables with which a run asks its server: the service's key, if it asks one at all.

    Raises ConfigError if the server is not listed any more.
    """
    spec = config.second_opinion
    if spec is None or not is_web(spec):
        return {}
    if (reason := refusal(spec, settings.second_opinion_servers)) is not None:
        raise ConfigError(f"second_opinion: {reason}")
    key = settings.second_opinion_key
    return {} if key is None else {KEY_VARIABLE: key.get_secret_value()}
