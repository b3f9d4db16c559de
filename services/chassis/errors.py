"""One tree of errors: the class says whose fault it is, and so what the caller should do."""

from __future__ import annotations

from typing import Any, ClassVar


class QuartermasterError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", **numbers: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        self.numbers = numbers
        super().__init__(self.detail)


class Refused(QuartermasterError):
    """The request is wrong and would be refused again."""

    code = "refused"
    status = 422


class NotFound(Refused):
    """There is no such thing."""

    code = "not_found"
    status = 404


class Conflict(QuartermasterError):
    """The world moved: fold what happened, then decide again."""

    code = "conflict"
    status = 409


class Outdated(Conflict):
    """What the caller has seen is not how it is any more: read it again, then ask again."""

    code = "precondition_failed"
    status = 412


class Fenced(Conflict):
    """A newer leader has taken over: stop leading."""

    code = "fenced"


class Unavailable(QuartermasterError):
    """The other side does not answer: the same request again, later."""

    code = "unavailable"
    status = 503


class Bug(QuartermasterError):
    """Our own fault: stop here and raise an alert."""

    code = "bug"
