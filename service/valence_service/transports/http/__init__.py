"""The service over HTTP: JSON, Connect, gRPC-Web and a page. Imported only where it is on."""
