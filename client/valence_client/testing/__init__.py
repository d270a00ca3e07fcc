"""A service with fixed answers and no model, for the tests of programs that use the client.

with FakeService({"Lovely.": 0.9, "Awful.": -0.8}) as service:
    with Client(service.address) as client:
        assert client.classify("Lovely.").polarity is Polarity.POSITIVE
"""

from valence_client.testing._answers import Answer, Answers, sentiment
from valence_client.testing._behaviour import MODEL
from valence_client.testing._service import FakeService

__all__ = ["MODEL", "Answer", "Answers", "FakeService", "sentiment"]
