"""Promotes a version through the gate: the one way that page, API and command line take.

What the gate stops is promoted only with a reason, which is kept with who gave it and what stood
against it. A roll back does not come here: it is the way out when the version in service is bad.
"""

from collections.abc import Callable
from functools import partial

from loguru import logger

from core.errors import ConflictError, GateError, InputError
from core.limits import MAX_NAME_CHARS, MAX_REASON_CHARS, MIN_REASON_CHARS
from core.models.registry import Registry
from core.models.service_log import Note
from core.predictor.service import OpenModel
from core.settings import Settings
from core.training.evaluation.gate import judge
from core.training.evaluation.verdict import Margins, Verdict

# Loads a version, and calls the second argument once it can serve.
Swap = Callable[[OpenModel, Callable[[], None]], None]


def margins_of(settings: Settings) -> Margins:
    """The margins of this installation."""
    return Margins(dice=settings.gate_dice_margin)


def verdict_on(registry: Registry, number: int, margins: Margins) -> Verdict:
    """What the gate says of a version against the one in service, by what is stored now.

    Raises
    ------
    ConflictError
        It is in service.
    NotFoundError
    """
    after, before = registry.get(number), registry.serving()
    if after.number == before.number:
        raise ConflictError(f"Version {number} is in service already")
    return judge(before, after, margins)


def promote(
    registry: Registry,
    number: int,
    swap: Swap,
    margins: Margins,
    *,
    by: str,
    reason: str = "",
    seen: str | None = None,
) -> Verdict:
    """Put a version into service, if the gate lets it pass or a reason is given.

    Parameters
    ----------
    swap
        Loads the version, and calls what writes down that it serves.
    by
        Who asks for it.
    reason
        Why all the same.
    seen
        Key of the verdict that a person was shown; left out, nobody was shown one.

    Returns
    -------
    Verdict

    Raises
    ------
    GateError
        The gate stops it and there is no reason.
    ConflictError
        The figures are not those that were seen, another version went into service meanwhile, or
        it is in service already.
    InputError
        The reason is none.
    HippoViewError
        It cannot serve, or what serves could not be written down.
    """
    reason = _checked(reason)
    verdict = verdict_on(registry, number, margins)
    if seen not in (None, verdict.key):
        raise ConflictError(
            "The figures changed since they were shown", "Look at the new ones.",
            code="gate_changed",
        )  # fmt: skip
    if not verdict.passed:
        against = "; ".join(f"{check.name} {check.state}" for check in verdict.objections)
        if not reason:
            raise GateError(
                f"The gate stops version {number}: {against}",
                "Give a reason to put it into service all the same. It is kept in the history.",
            )
        logger.warning("Version {} is promoted against the gate: {}", number, against)
    lines = tuple(check.line for check in verdict.objections)
    note = Note(one_line(by, MAX_NAME_CHARS), reason, lines)
    swap(partial(registry.open, number), partial(registry.promote, number, note, verdict.before))
    return verdict


def _checked(reason: str) -> str:
    """A reason that can be kept; empty if there is none.

    Raises
    ------
    InputError
    """
    line = one_line(reason, MAX_REASON_CHARS + 1)
    if line and not MIN_REASON_CHARS <= len(line) <= MAX_REASON_CHARS:
        raise InputError(
            f"The reason has {len(line):,} characters, expected {MIN_REASON_CHARS} to "
            f"{MAX_REASON_CHARS:,}",
            "Say in a sentence why this version shall serve.",
            code="bad_reason",
        )
    return line


def one_line(text: str, most: int) -> str:
    """A user's text without control characters and line breaks, cut to so many characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]
