"""OpenTelemetry traces: a span around a piece of work, sent where the standard OTEL_* variables say.

Without OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) nothing is imported or sent.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from fo1_data.errors import ConfigError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def check_traces() -> None:
    """Raise ConfigError, at the start, if traces are asked for and their packages are not installed."""
    if _are_asked_for():
        _packages()


@contextmanager
def span(name: str, attributes: Mapping[str, str | int | float]) -> Iterator[None]:
    """Trace a `with` block, as the child of the span that is open in this thread or task, if one is.

    name: such as `label_shard`. An error is recorded in the span and raised. Raises ConfigError if traces
    are asked for and their packages are not installed.
    """
    if not _are_asked_for():
        yield
        return
    with _tracer().start_as_current_span(name, attributes=attributes):
        yield


def _are_asked_for() -> bool:
    return any(os.environ.get(variable) for variable in _ENDPOINTS)


@cache
def _packages() -> tuple[Any, ...]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(
            "traces are asked for (OTEL_EXPORTER_OTLP_ENDPOINT), but opentelemetry-exporter-otlp-proto-http "
            'is not installed: pip install "fo1-data[traces]"'
        ) from None
    return TracerProvider, Resource, BatchSpanProcessor, OTLPSpanExporter


@cache
def _tracer() -> Any:
    make_provider, resource, processor, exporter = _packages()
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    name = os.environ.get("OTEL_SERVICE_NAME", "fo1-data")
    provider = make_provider(resource=resource.create({"service.name": name}))
    provider.add_span_processor(processor(exporter()))
    return provider.get_tracer("fo1_data")
