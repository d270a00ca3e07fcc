"""valence.v1: messages in sentiment_pb2, stubs and servicer in sentiment_pb2_grpc."""
