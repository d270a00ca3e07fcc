"""KServe's Open Inference Protocol, as a service that the gRPC transport carries."""
