"""What a check of `core.upkeep.doctor` found."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from core.errors import HippoViewError

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Checked:
    """One line: what was checked, how it is, and what to do.

    Attributes
    ----------
    check : str
        What was looked at, such as ``storage``.
    level : str
        ``ok``, ``warning`` (it runs, but) or ``wrong`` (it does not run, or not for long).
    message : str
        Never a secret, nor anything of a patient.
    hint : str
        What to do; empty for ``ok``.
    """

    check: str
    level: Level
    message: str
    hint: str = ""


def wrong(check: str, error: HippoViewError) -> Checked:
    """What an error says, as a finding."""
    return Checked(check, "wrong", error.message, error.hint)


def or_ok(check: str, found: Iterable[Checked], message: str) -> Iterator[Checked]:
    """The findings; where there are none, that all is well."""
    none = True
    for finding in found:
        none = False
        yield finding
    if none:
        yield Checked(check, "ok", message)
