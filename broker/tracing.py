"""Tracing with OpenTelemetry: a span for each request, sent to where OTEL_EXPORTER_OTLP_ENDPOINT says.

The extra `otel` brings the libraries, which are imported here alone and only if that variable is set. A span holds the
path and the status of a request; asks come in bodies, so that no query has anything to hide.
"""

from __future__ import annotations

from flask import Flask

_UNTRACED = "/healthz$,/readyz$,/metrics$"


def trace(app: Flask) -> None:
    """Trace an application's requests; everything else is said in OTEL_* variables, which the libraries read."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    FlaskInstrumentor().instrument_app(app, excluded_urls=_UNTRACED, tracer_provider=provider)
