"""Metrics and traces: the only floor that imports prometheus_client and opentelemetry."""
