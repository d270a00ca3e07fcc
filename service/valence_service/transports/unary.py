"""A service whose every call is one message, in the form that a transport can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.descriptor import FileDescriptor
    from google.protobuf.message import Message

    from valence_service.core.call import CallScope


def admit_all(_: CallScope) -> None:
    """Refuse no call."""


@dataclass(frozen=True, slots=True)
class UnaryMethod:
    """Answers one message with one message."""

    name: str
    answer: Callable[[Any], Awaitable[Message]]
    """Belongs to the call under way. Raises ValenceError where there is no answer."""
    request: type[Message]
    response: type[Message]
    admit: Callable[[CallScope], None] = admit_all
    """Refuses a call before its message is read."""
    is_health: bool = False
    """Whether it is a health check: these may need no token."""


@dataclass(frozen=True, slots=True)
class UnaryService:
    """A service and its methods."""

    name: str
    methods: Sequence[UnaryMethod]
    file: FileDescriptor
    """Describes it, in a descriptor pool that may be its own."""

    def path(self, method: UnaryMethod) -> str:
        """Return the path of a method's calls."""
        return f"/{self.name}/{method.name}"
