"""Checks of a PostgreSQL: whether it answers, whose it is, how old it is, and its clock."""

from collections.abc import Iterator

from core.errors import HippoViewError
from core.settings import variable_of
from core.state.later_steps import STEPS
from core.state.looking import Seen, look
from core.upkeep.checked import Checked, wrong

# Clocks that differ by more break sign-ins, tokens and the order of what happened.
MOST_OFF_S = 60.0


def of_postgresql(url: str) -> tuple[list[Checked], bool]:
    """What was found, and whether there is an installation in it that can be looked at further."""
    try:
        seen = look(url)
    except HippoViewError as error:
        return [wrong("database", error)], False
    found = [*_contents(seen), *_clock(seen)]
    is_sound = not any(each.check == "database" and each.level == "wrong" for each in found)
    return found, seen.step == max(STEPS) and is_sound


def of_step(taken: int, name: str) -> Iterator[Checked]:
    """Whether a database has taken this version's steps; ``name``: what is said of a sound one."""
    newest = max(STEPS)
    if taken > newest:
        yield Checked(
            "database", "wrong", f"A newer version has used it: step {taken}, this one knows "
            f"{newest}", "Start the newer version again.",
        )  # fmt: skip
    elif taken < newest:
        yield Checked(
            "database", "warning", f"It is of an older version: step {taken} of {newest}",
            "The next start brings it up to date: take a backup before.",
        )  # fmt: skip
    else:
        yield Checked("database", "ok", f"{name}, step {taken}")


def _contents(seen: Seen) -> Iterator[Checked]:
    name = f"PostgreSQL {seen.version}"
    few = ", ".join(seen.strangers[:3])
    if seen.is_standby:
        yield Checked(
            "database", "wrong", f"{name} is a stand-by, which takes no writes",
            f"Point {variable_of('database_url')} to the primary.",
        )  # fmt: skip
    if seen.step is None and seen.strangers:
        yield Checked(
            "database", "wrong", f"{name} holds tables of another program ({few}) and none of "
            "HippoView", "Name an empty database: CREATE DATABASE hippoview ENCODING 'UTF8' "
            "TEMPLATE template0.",
        )  # fmt: skip
    elif seen.step is None:
        yield Checked("database", "ok", f"{name} is empty: the first start makes its tables, and "
                      "takes in cases and models from the storage")  # fmt: skip
    else:
        yield from of_step(seen.step, name)
    if seen.step is not None and seen.strangers:
        yield Checked(
            "database", "warning", f"Another program has tables beside HippoView's ({few})",
            "Give each program a database of its own: no backup has the others' tables.",
        )  # fmt: skip


def _clock(seen: Seen) -> Iterator[Checked]:
    if abs(seen.ahead_s) > MOST_OFF_S:
        yield Checked(
            "clock", "wrong", f"This machine's clock and the database's differ by "
            f"{abs(seen.ahead_s):,.0f} s", "Have both follow a time server (NTP).",
        )  # fmt: skip
