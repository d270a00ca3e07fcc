"""The wire: the only room that imports grpc and the contract."""
