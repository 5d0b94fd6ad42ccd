"""Which cases of a chain are worth a look: the most unusual ones, and typical ones of before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.measures.features import Feature

MOST_UNUSUAL, MOST_TYPICAL = 10, 3
# One of six scans of the reference is as far from its middle, to this side.
OFF_SD = 1.0


@dataclass(frozen=True)
class Unusual:
    """A case far from the reference, and in what it is.

    Attributes
    ----------
    away_sd : float
        Distance from the reference's median, in its standard deviations.
    """

    case_id: str
    feature: Feature
    away_sd: float


@dataclass(frozen=True)
class Looks:
    """What to look at.

    Attributes
    ----------
    unusual : tuple of Unusual
        Since the change, the most unusual one first.
    typical : tuple of str
        Ids of cases from before it, the most typical one first.
    since : tuple of str
        Ids of all cases since the change, the oldest first.
    off : tuple of str
        Of these, those that are off in what moved most: `OFF_SD` and more from the middle.
    """

    unusual: tuple[Unusual, ...] = ()
    typical: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    off: tuple[str, ...] = ()


NOTHING = Looks()


def looks_of(
    steps: Sequence[tuple[int, str | None, Mapping[str, Sequence[float]]]],
    first: int,
    moved: tuple[str, int],
    features: Sequence[Feature],
) -> Looks:
    """What to look at in a chain.

    Parameters
    ----------
    steps
        Number, case and, by feature, score and distance from the reference's median in its standard
        deviations; the oldest first. One whose case is gone cannot be looked at, and one that came
        again has no scores.
    first
        Number of the first scan since the change.
    moved
        Key of the feature that moved most, and its direction: 1 up, -1 down.
    features
        In which a case may be unusual.
    """
    of_image = {feature.key: feature for feature in features if not feature.note}
    unusual: list[Unusual] = []
    typical: list[tuple[float, str]] = []
    for number, case_id, scores in steps:
        away = {key: each for key, each in scores.items() if key in of_image}
        if case_id is None or not away:
            continue
        if number < first:
            typical.append((sum(score**2 for score, _ in away.values()) / len(away), case_id))
        else:
            key = max(away, key=lambda key: abs(away[key][1]))
            unusual.append(Unusual(case_id, of_image[key], away[key][1]))
    newer = [(case, scores) for number, case, scores in steps if case and number >= first]
    key, direction = moved
    off = [case for case, scores in newer if key in scores and direction * scores[key][1] >= OFF_SD]
    return Looks(
        tuple(sorted(unusual, key=lambda each: -abs(each.away_sd))[:MOST_UNUSUAL]),
        tuple(case_id for _, case_id in sorted(typical)[:MOST_TYPICAL]),
        tuple(case for case, _ in newer),
        tuple(off),
    )
