"""One stream's bookkeeping: its texts, and which of them are unanswered. Never waits."""

from __future__ import annotations

from valence.v1 import sentiment_pb2 as pb

from valence_client._replies import streamed
from valence_client._requests import Overlength, check_text, overlength_value
from valence_client.errors import InvalidText, ServerFailed, Unavailable
from valence_client.results import Outcome, StreamItem


class Exchange:
    """Makes the requests of one stream and reads its responses, over one call or several.

    Texts are numbered from 0, and the number is the request's id. One thread may add texts while
    another reads responses.
    """

    def __init__(
        self, *, overlength: Overlength, in_order: bool, window_texts: int, resends: bool
    ) -> None:
        """Start without texts. ``resends``: send a text again if its server became unavailable."""
        self._options = pb.StreamOptions(
            overlength=overlength_value(overlength),
            order=pb.ORDER_REQUEST if in_order else pb.ORDER_READY,
        )
        self._in_order = in_order
        self._window_texts = window_texts
        self._resends = resends
        self._unanswered: dict[str, pb.StreamClassifyRequest] = {}
        # The errors of texts that cannot be sent, by id.
        self._unsendable: dict[str, InvalidText] = {}
        self._first = 0
        self.added = 0
        """How many texts have been added."""
        self.answered = 0
        self.ended = False
        """Whether every text has been added."""
        self.failure: BaseException | None = None
        """The exception that the caller's texts raised, if any."""

    @property
    def full(self) -> bool:
        """Whether the window is full: no text may be added before an answer comes."""
        return len(self._unanswered) >= self._window_texts

    @property
    def no_more(self) -> bool:
        """Whether no text will be added any more."""
        return self.ended or self.failure is not None

    @property
    def complete(self) -> bool:
        """Whether every text is added and answered."""
        return self.no_more and not self._unanswered

    @property
    def first_unanswered(self) -> int:
        """The number of the first unanswered text, or of the next one to be added."""
        while self._first < self.added and str(self._first) not in self._unanswered:
            self._first += 1
        return self._first

    def add(self, text: str) -> None:
        """Add the next text. Raise TypeError if it is not a str.

        A text that cannot be sent is replaced by an empty one, which the server refuses at no cost.
        """
        number = str(self.added)
        try:
            check_text(text, "text")
        except InvalidText as error:
            self._unsendable[number], text = error, ""
        self._unanswered[number] = pb.StreamClassifyRequest(id=number, text=text)
        self.added += 1

    def request(self, number: int, *, first: bool) -> pb.StreamClassifyRequest | None:
        """Return the request for a text, or None if the text is answered already.

        ``first``: the request opens a call, and so carries the options.
        """
        request = self._unanswered.get(str(number))
        if request is not None and first:
            opening = pb.StreamClassifyRequest(options=self._options)
            opening.MergeFrom(request)
            return opening
        return request

    def answer(self, response: pb.StreamClassifyResponse) -> Outcome | StreamItem:
        """Return the outcome in a response, with the text's index if answers come out of order.

        Raise ServerFailed if the response answers no open request, or not the next one in order.
        Raise Unavailable if the text is to be sent again.
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
        """Check a stream that the server ended with OK.

        Raise what the caller's texts raised, or ServerFailed if a text has no answer.
        """
        if self.failure is not None:
            raise self.failure
        if not self.complete:
            raise ServerFailed("the server ended the stream before it had answered every text")
