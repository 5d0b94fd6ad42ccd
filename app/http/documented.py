"""What `/api/openapi.json` says of answers that are no success: one shape, whatever the route."""

from typing import Any

from pydantic import BaseModel


class Explained(BaseModel):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    hint: str


class Refused(BaseModel):
    """The shape of every error."""

    error: Explained


_WORDS = {
    400: "The request is malformed.",
    401: "Not signed in, or the password is wrong.",
    403: "The request comes from another site, or this account may not do it.",
    404: "There is no such thing.",
    405: "The address takes other methods.",
    408: "The body stopped coming.",
    409: "The request conflicts with the current state.",
    413: "The body is too large.",
    421: "The server does not answer to the name in the address.",
    422: "The request or the file cannot be used.",
    429: "Too many requests or passwords; Retry-After says when to come again.",
    500: "A fault of the server.",
    503: "Busy, or no model can serve; Retry-After says when to come again.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": words} for status, words in _WORDS.items()
}
