"""Keep notes of gRPC's core from the terminal, as "Got goaway" when a server ends.

GRPC_VERBOSITY is the core's only switch, and the core reads it as grpc is imported. gRPC documents
ERROR as its default, but since 1.65 prints notes too. A value that is set stays.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
