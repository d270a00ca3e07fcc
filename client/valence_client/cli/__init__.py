"""The ``valence`` command, an extra of the client: ``pip install "valence-client[cli]"``."""
