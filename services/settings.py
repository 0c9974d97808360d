"""The settings of the service: `FO1_*` environment variables, lists as JSON.

Reads the environment; starts nothing. Sizes in bytes, times in seconds.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fo1_data.errors import ConfigError
from fo1_data.home_folders import expand_home, folder_below_home
from fo1_data.logs import LogFormat, LogLevel
from schemas.problems import problem_parts
from services.home import stored_secret
from services.hosts import is_loopback, machine, public_host
from services.setting_forms import list_of_json, place, readable, web_address

# Beyond what anybody means, and what clocks, queries and the sizes of queues take.
_MOST_COUNT, _MOST_BYTES, _MOST_PIXELS = 10**9, 2**50, 10**12
_MOST_YEARS = 100
_MOST_DAYS = _MOST_YEARS * 365
_MOST_HOURS, _MOST_S = _MOST_DAYS * 24, _MOST_DAYS * 86_400
_Texts = Annotated[list[str], NoDecode]


def _default_home() -> Path:
    return folder_below_home("XDG_DATA_HOME", ".local/share") / "fo1-data"


class Settings(BaseSettings):
    """Every setting of `fo1 serve`. Each is the environment variable FO1_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="FO1_", extra="ignore", allow_inf_nan=False)

    home: Path = Field(
        default_factory=_default_home,
        description="Folder of the database, the secret, cached images and the record of the local Ray. "
        "Default: `fo1-data` in the user's data folder.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Another one than loopback needs `FO1_SECRET_KEY` and "
        "`FO1_STORAGE_ROOTS`.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on. 0: any free port.")
    database_url: str | None = Field(
        default=None,
        description="Database, such as `postgresql://user@host/name`; several processes need PostgreSQL. "
        "Default: SQLite under `FO1_HOME`.",
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster that jobs run on: `http://head:8265`, or `head:6379` if Ray is installed "
        "here. Default: a local Ray, started at the first job.",
    )
    ray_may_grow: bool = Field(
        default=False,
        description="The cluster adds nodes by itself, so a job that is too large for its present nodes is "
        "accepted.",
    )
    predict_url: str | None = Field(
        default=None,
        description="URL of the Ray Serve deployment that answers live predictions. "
        "Default: one on the local Ray, started at the first question.",
    )
    predict_token: SecretStr | None = Field(
        default=None, description="Token for `FO1_PREDICT_URL`. Default: none."
    )
    predict_model: str = Field(
        default="fo1-tiny", description="Model of the local deployment for live predictions."
    )
    predict_at_start: bool = Field(
        default=False,
        description="Start the local deployment for live predictions with the service, not at the first "
        "question, which then waits for Ray and the model.",
    )
    predict_gpus: float = Field(
        default=0.0,
        ge=0,
        description="Share of a GPU that the local deployment for live predictions reserves beside the "
        "labellers, such as 0.25 (then give jobs `gpus_per_actor` 0.75). 0: it runs on the CPU.",
    )
    label_studio_url: str | None = Field(
        default=None, description="URL of the Label Studio that reviews go to. Default: none, no reviews."
    )
    label_studio_token: SecretStr | None = Field(
        default=None, description="Access token for Label Studio. Default: none."
    )
    public_url: str | None = Field(
        default=None,
        description="URL at which browsers and Label Studio reach the service. "
        "Default: `http://HOST:PORT`, with the machine's name if it listens on every address.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Key that signs URLs and logins: 16 characters or more, the same for every process. "
        "Default: a key made at the first start and kept under `FO1_HOME`.",
    )
    storage_roots: _Texts = Field(
        default=[],
        description="Folders and URLs that jobs may read and write. "
        "Default: `data` under `FO1_HOME`, and the folder that the service was started in.",
    )
    allow_private_addresses: bool = Field(
        default=False, description="Let jobs fetch images from private, loopback and link-local networks."
    )

    second_opinion_servers: _Texts = Field(
        default=[],
        description="Addresses of the OpenAI-compatible servers that jobs may send crops of their images to, "
        "for a second opinion, such as `http://vllm:8000/v1`; they may be in private networks. "
        "Default: none.",
    )
    second_opinion_key: SecretStr | None = Field(
        default=None,
        description="Key for these servers, given to the drivers of the jobs that ask one. Default: none.",
    )

    image_url_days: float = Field(
        default=90.0, gt=0, le=_MOST_DAYS, description="How long the signed URL of an image lasts, in days."
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=_MOST_HOURS, description="How long a login to the dashboard lasts, in hours."
    )
    max_body_bytes: int = Field(
        default=2**20,
        ge=1024,
        le=_MOST_BYTES,
        description="Largest body of a request, in bytes, other than an upload.",
    )
    max_upload_bytes: int = Field(
        default=64 * 2**20,
        ge=1024,
        le=_MOST_BYTES,
        description="Largest body of a live prediction or a webhook of Label Studio, in bytes.",
    )
    max_image_pixels: int = Field(
        default=100_000_000,
        ge=1,
        le=_MOST_PIXELS,
        description="Largest image that the service decodes, in pixels.",
    )
    key_failures_per_minute: int = Field(
        default=60, ge=1, le=_MOST_COUNT, description="Wrong keys that one address may try in a minute."
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="How the log is written: `text` or `json`, a line a record."
    )
    log_level: LogLevel = Field(
        default=LogLevel.INFO,
        description="Least level of the log: `debug`, `info` (a line a request too), `warning`, `error`.",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=_MOST_COUNT,
        description="Connections that are open at once; at the limit, idle ones and those that have been "
        "sending a request the longest give way.",
    )
    request_head_s: float = Field(
        default=10.0, gt=0, le=_MOST_S, description="Time for the head of a request to arrive, in seconds."
    )
    request_body_s: float = Field(
        default=30.0,
        gt=0,
        le=_MOST_S,
        description="Time for the body of a request to arrive, in seconds, besides a second for each 16 KiB.",
    )
    max_jobs: int = Field(
        default=200,
        ge=1,
        le=_MOST_COUNT,
        description="Jobs that may be queued and running; a further one is refused.",
    )
    max_jobs_at_work: int = Field(
        default=4,
        ge=1,
        le=_MOST_COUNT,
        description="Jobs that have a driver at once; others stay queued until one ends.",
    )
    max_actors_per_job: int = Field(
        default=256, ge=1, le=_MOST_COUNT, description="Largest number of labellers that a job may ask for."
    )
    min_cpus_per_actor: float = Field(
        default=0.1, gt=0, description="Smallest share of a CPU that a job may reserve for a labeller."
    )
    max_streams_per_key: int = Field(
        default=256, ge=1, le=_MOST_COUNT, description="Streams of a job's events that one key may have open."
    )
    reconcile_every_s: float = Field(
        default=2.0,
        gt=0,
        le=_MOST_S,
        description="Time between two looks at the state of the jobs, in seconds.",
    )
    review_pull_every_s: float = Field(
        default=60.0,
        ge=0,
        le=_MOST_S,
        description="Time between two pulls of annotations from Label Studio, in seconds, besides its "
        "webhooks. 0: never.",
    )
    driver_lost_after_s: float = Field(
        default=20.0,
        gt=0,
        le=_MOST_S,
        description="Seconds without a sign of life after which the driver of a job counts as lost.",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(expand_home(value)))  # noqa: PTH100 - links are kept as written

    @field_validator("host")
    @classmethod
    def _machine(cls, value: str) -> str:
        return machine(value)

    @field_validator("ray_address", "predict_url", "label_studio_url", "public_url", "database_url")
    @classmethod
    def _empty_is_absent(cls, value: str | None) -> str | None:
        return value.rstrip("/") or None if value else None

    @field_validator("predict_url", "label_studio_url", "public_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else web_address(value, "https://fo1.example.org")

    @field_validator("predict_token", "label_studio_token", "secret_key", "second_opinion_key")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is None else SecretStr(readable(value.get_secret_value()))

    @field_validator("storage_roots", "second_opinion_servers", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return list_of_json(value)

    @field_validator("storage_roots")
    @classmethod
    def _places(cls, value: list[str]) -> list[str]:
        return [place(address) for address in value]

    @field_validator("second_opinion_servers")
    @classmethod
    def _servers(cls, value: list[str]) -> list[str]:
        return [web_address(address, "http://vllm:8000/v1") for address in value]

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Where jobs may read and write. Default: `data` under the home, and the current folder."""
        return tuple(self.storage_roots) or (str(self.home / "data"), str(Path.cwd()))

    @cached_property
    def secret(self) -> bytes:
        """The key of cookies and signed URLs. Default: a key stored under the home."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value().encode()
        return stored_secret(self.home)

    @property
    def base_url(self) -> str:
        """The URL at which people and Label Studio reach the service."""
        return self.public_url or f"http://{public_host(self.host)}:{self.port}"

    def check_exposure(self) -> None:
        """Raise ConfigError if other machines could reach the service without a secret of its own."""
        if is_loopback(self.host):
            return
        if self.secret_key is None or len(self.secret_key.get_secret_value()) < 16:
            raise ConfigError(
                f"listening on {self.host} needs FO1_SECRET_KEY (16 characters or more, the same for every "
                "process of the service); without it only loopback is served"
            )
        if not self.storage_roots:
            raise ConfigError(
                f"listening on {self.host} needs FO1_STORAGE_ROOTS, such as '[\"/data\"]': "
                "what jobs may read and write"
            )


def load_settings(**overrides: object) -> Settings:
    """Return the settings of the environment, with `overrides` that are not None. Raises ConfigError."""
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        field, message = problem_parts(error)
        raise ConfigError(f"FO1_{field.partition('.')[0].upper()}: {message}") from None
