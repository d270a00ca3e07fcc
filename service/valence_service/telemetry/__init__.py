"""What is told to the outside: the only room that imports prometheus_client and opentelemetry."""
