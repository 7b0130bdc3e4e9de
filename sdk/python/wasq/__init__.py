"""Write wasq handlers in Python. The README has the first one."""

from ._context import Context, Pending, Waiting
from ._failures import Failure, Reject, Retry, Unavailable
from ._group import EndedGroup, Group, Member
from ._handler import handler
from ._http import Http, HttpError, Response
from ._message import Message
from ._outcomes import Discard, Done, Outcome, Snooze

__all__ = [
    "Context",
    "Discard",
    "Done",
    "EndedGroup",
    "Failure",
    "Group",
    "Http",
    "HttpError",
    "Member",
    "Message",
    "Outcome",
    "Pending",
    "Reject",
    "Response",
    "Retry",
    "Snooze",
    "Unavailable",
    "Waiting",
    "handler",
]
