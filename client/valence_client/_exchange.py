"""One stream's bookkeeping: what was asked, and what is not yet answered. Waits for nothing."""

from __future__ import annotations

from valence.v1 import sentiment_pb2 as pb

from valence_client._replies import streamed
from valence_client._requests import Overlength, check_text, overlength_value
from valence_client.errors import InvalidText, ServerFailed
from valence_client.results import Outcome, StreamItem


class Exchange:
    """Makes the requests of one stream and reads its responses.

    Requests may be made in one thread and responses read in another.
    """

    def __init__(self, *, overlength: Overlength, in_order: bool) -> None:
        self._options = pb.StreamOptions(
            overlength=overlength_value(overlength),
            order=pb.ORDER_REQUEST if in_order else pb.ORDER_READY,
        )
        self._in_order = in_order
        self._asked = 0
        self._answered = 0
        # By id: None, or why the text could not be sent.
        self._unanswered: dict[str, InvalidText | None] = {}
        self.ended = False
        """Whether every text has been asked."""
        self.failure: BaseException | None = None
        """What the caller's texts raised, if they did."""

    def request(self, text: str) -> pb.StreamClassifyRequest:
        """The request for the next text. Raises TypeError where it is none.

        An empty text keeps the place of one that cannot be sent: the server refuses it at no cost.
        """
        error = None
        try:
            check_text(text, "text")
        except InvalidText as unsendable:
            error, text = unsendable, ""
        request = pb.StreamClassifyRequest(id=str(self._asked), text=text)
        if self._asked == 0:
            request.options.CopyFrom(self._options)
        self._asked += 1
        self._unanswered[request.id] = error
        return request

    def answer(self, response: pb.StreamClassifyResponse) -> Outcome | StreamItem:
        """What the response says, with its index where order does not tell it.

        Raises ServerFailed where the response answers nothing that was asked, or not the next.
        """
        known = response.id in self._unanswered
        if not known or (self._in_order and response.id != str(self._answered)):
            raise ServerFailed(f"the server answered out of turn: id {response.id!r}")
        self._answered += 1
        outcome = self._unanswered.pop(response.id) or streamed(response)
        return outcome if self._in_order else StreamItem(int(response.id), outcome)

    def finish(self) -> None:
        """To be called once the server has ended the stream well.

        Raises what the texts raised, or ServerFailed where a text has no answer.
        """
        if self.failure is not None:
            raise self.failure
        if self._unanswered or not self.ended:
            raise ServerFailed("the server ended the stream before it had answered every text")
