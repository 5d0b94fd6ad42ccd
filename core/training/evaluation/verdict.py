"""What the gate says: checks with their state and figures, and the margins that they keep to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core import limits
from core.training.evaluation.statistics import mean_of
from core.wording import counted

State = Literal["passed", "failed", "not judged"]
# Cases for an interval: see `core.training.evaluation.statistics.mean_of`.
_FEWEST = 3
# Cases that are named where several are meant.
_MOST_NAMED = 3
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Margins:
    """How much worse a version may be than the one in service, and how many cases it takes to tell.

    Attributes
    ----------
    dice, heads_dice : float
        That a label's mean Dice may lie below: by patient on crops, by head on whole heads.
    collapse : float
        That a label's Dice may fall by in any one case.
    hd95_mm : float
        That a label's mean HD95 may lie above.
    volume_percent : float
        That the mean volume error of whole heads may be further from 0, in per cent.
    times : float
        Largest ratio of the two versions' times.
    patients, heads, timed : int
        Fewest patients with crops, whole heads and timed scans.
    """

    dice: float = limits.GATE_DICE
    collapse: float = limits.GATE_COLLAPSE
    hd95_mm: float = limits.GATE_HD95_MM
    heads_dice: float = limits.GATE_HEADS_DICE
    volume_percent: float = limits.GATE_VOLUME_PERCENT
    times: float = limits.GATE_TIMES
    patients: int = limits.GATE_PATIENTS
    heads: int = limits.GATE_HEADS
    timed: int = limits.GATE_TIMED


@dataclass(frozen=True)
class Check:
    """One question that the gate asks.

    Attributes
    ----------
    key : str
        For programs: ``crops/task04/dice/anterior``.
    name : str
        For people.
    state : str
        ``passed``, ``failed`` or ``not judged``.
    words : str
        Its figures, and what follows from them.
    """

    key: str
    name: str
    state: State
    words: str

    @property
    def line(self) -> str:
        """The check in one line of text."""
        return f"{self.state}: {self.name}: {self.words}"


# What has to be judged before a version passes.
_NO_DICE = Check("dice", "Dice on frozen cases", "not judged", "neither crops nor reviewed heads")
_NO_HEADS = Check("heads", "Whole heads", "not judged", "neither synthetic nor reviewed ones")


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one version against another.

    Attributes
    ----------
    before, after : int
        Numbers of the version in service and of the one that is judged.
    checks : tuple of Check
    """

    before: int
    after: int
    checks: tuple[Check, ...]

    @property
    def objections(self) -> tuple[Check, ...]:
        """What stands against a promotion: checks that failed, and what had to be judged.

        A version passes if nothing failed, the Dice was judged on frozen cases (crops, or reviewed
        heads), and so were whole heads.
        """
        against = [check for check in self.checks if check.state == "failed"]
        judged = [check.key.split("/") for check in self.checks if check.state != "not judged"]
        if not any(
            (key[0] == "crops" and key[2] == "dice") or key == ["heads", "reviewed", "dice"]
            for key in judged
        ):
            against.append(_NO_DICE)
        if not any(key[0] == "heads" and key[2] == "dice" for key in judged):
            against.append(_NO_HEADS)
        return tuple(against)

    @property
    def passed(self) -> bool:
        """Whether nothing stands against a promotion."""
        return not self.objections

    @property
    def key(self) -> str:
        """A hash of both versions and every check's line: equal if a person was shown the same."""
        text = "\n".join([f"{self.before} {self.after}", *(check.line for check in self.checks)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def too_few(count: int, needed: int, one: str) -> str:
    """Such as *3 patients of the 10 that are needed*."""
    return f"{counted(count, one)} of the {needed} that are needed"


def own_words(count: int, one: str) -> str:
    """What is said of references that are a version's own masks; empty where there are none."""
    if not count:
        return ""
    return f". Left out: {counted(count, one)} whose reference is a version's own mask, accepted"


def collapse(falls: Sequence[tuple[float, str]], margin: float, one: str) -> tuple[State, str]:
    """Whether the Dice falls by more than a margin anywhere.

    Parameters
    ----------
    falls
        Old less new Dice, and where: a case and label, or a head's side.
    one
        What they are: ``case``.
    """
    ordered = sorted(falls, reverse=True)
    fallen = [f"{where} -{by:.2f}" for by, where in ordered if by > margin]
    if not fallen:
        largest = max(0.0, ordered[0][0]) if ordered else 0.0
        return "passed", f"the largest fall of a {one}'s Dice is {largest:.2f}, at most {margin:g}"
    more = ", ..." if len(fallen) > _MOST_NAMED else ""
    falling = counted(len(fallen), f"{one} falls", f"{one}s fall")
    named = ", ".join(fallen[:_MOST_NAMED])
    return "failed", f"{falling} by more than {margin:g}: {named}{more}"


@dataclass(frozen=True)
class Loss:
    """Whether a mean change rules out a loss of more than a margin.

    The lower end of its 95 % interval decides: it passes only where it is not below the margin.

    Attributes
    ----------
    state : str
    words : str
    """

    state: State
    words: str

    @classmethod
    def of(cls, changes: Sequence[float], margin: float, needed: int, one: str) -> "Loss":
        """Judge the changes of a figure, new less old, one a patient or a head.

        Parameters
        ----------
        changes
            In any order.
        margin
            What the mean may lie below 0.
        needed
            Fewest changes to judge by. Fewer can fail, where the whole interval lies below the
            margin, and never pass.
        one
            What each change is of: ``patient``.
        """
        few = too_few(len(changes), needed, one)
        if not changes:
            return cls("not judged", few)
        change = mean_of(sorted(changes))
        figures = f"{change.mean:+.4f} in the mean"
        if len(changes) >= _FEWEST:
            figures += f" (95 % interval {change.low:+.4f} to {change.high:+.4f})"
            if change.high < -margin - _ROUNDING:
                of = counted(len(changes), one)
                return cls("failed", f"worse by more than {margin:g}: {figures}, {of}")
        if len(changes) < needed:
            return cls("not judged", f"{few}: {figures}")
        figures += f", {counted(len(changes), one)}"
        if change.low < -margin - _ROUNDING:
            return cls("failed", f"a loss of more than {margin:g} is not ruled out: {figures}")
        return cls("passed", f"no loss of more than {margin:g}: {figures}")
