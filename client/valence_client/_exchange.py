"""One stream's bookkeeping: what was asked, and what is not yet answered. Waits for nothing."""

from __future__ import annotations

from valence.v1 import sentiment_pb2 as pb

from valence_client._replies import streamed
from valence_client._requests import Overlength, check_text, overlength_value
from valence_client.errors import InvalidText, ServerFailed, Unavailable
from valence_client.results import Outcome, StreamItem


class Exchange:
    """Makes the requests of one stream and reads its responses, over one call or several.

    Texts are numbered from 0, and the number is the request's id. Texts may be asked in one thread
    and responses read in another.
    """

    def __init__(
        self, *, overlength: Overlength, in_order: bool, window_texts: int, resends: bool
    ) -> None:
        """``resends``: whether a text that no server was available for is asked again."""
        self._options = pb.StreamOptions(
            overlength=overlength_value(overlength),
            order=pb.ORDER_REQUEST if in_order else pb.ORDER_READY,
        )
        self._in_order = in_order
        self._window_texts = window_texts
        self._resends = resends
        self._unanswered: dict[str, pb.StreamClassifyRequest] = {}
        # By id: why the text could not be sent.
        self._unsendable: dict[str, InvalidText] = {}
        self._first = 0
        self.asked = 0
        """How many texts have been asked."""
        self.answered = 0
        self.ended = False
        """Whether every text has been asked."""
        self.failure: BaseException | None = None
        """What the caller's texts raised, if they did."""

    @property
    def full(self) -> bool:
        """Whether no more may be asked before an answer comes."""
        return len(self._unanswered) >= self._window_texts

    @property
    def no_more(self) -> bool:
        """Whether nothing will be asked any more."""
        return self.ended or self.failure is not None

    @property
    def complete(self) -> bool:
        """Whether nothing will be asked, nor answered."""
        return self.no_more and not self._unanswered

    @property
    def first_unanswered(self) -> int:
        """The number of the first text without an answer, or of the next to be asked."""
        while self._first < self.asked and str(self._first) not in self._unanswered:
            self._first += 1
        return self._first

    def ask(self, text: str) -> None:
        """Take the next text. Raises TypeError where it is none.

        An empty text keeps the place of one that cannot be sent: the server refuses it at no cost.
        """
        number = str(self.asked)
        try:
            check_text(text, "text")
        except InvalidText as error:
            self._unsendable[number], text = error, ""
        self._unanswered[number] = pb.StreamClassifyRequest(id=number, text=text)
        self.asked += 1

    def request(self, number: int, *, first: bool) -> pb.StreamClassifyRequest | None:
        """The request for a text that has been asked; None where it is answered.

        ``first``: whether it opens a call, and so carries the options.
        """
        request = self._unanswered.get(str(number))
        if request is not None and first:
            opening = pb.StreamClassifyRequest(options=self._options)
            opening.MergeFrom(request)
            return opening
        return request

    def answer(self, response: pb.StreamClassifyResponse) -> Outcome | StreamItem:
        """What the response says, with its index where order does not tell it.

        Raises ServerFailed where the response answers nothing that was asked, or not the next, and
        Unavailable where the text is to be asked again.
        """
        known = response.id in self._unanswered
        if not known or (self._in_order and response.id != str(self.answered)):
            raise ServerFailed(f"the server answered out of turn: id {response.id!r}")
        outcome = self._unsendable.pop(response.id, None) or streamed(response)
        if self._resends and isinstance(outcome, Unavailable):
            raise outcome
        self.answered += 1
        del self._unanswered[response.id]
        return outcome if self._in_order else StreamItem(int(response.id), outcome)

    def finish(self) -> None:
        """To be called once the server has ended the stream well.

        Raises what the texts raised, or ServerFailed where a text has no answer.
        """
        if self.failure is not None:
            raise self.failure
        if not self.complete:
            raise ServerFailed("the server ended the stream before it had answered every text")
