"""The figures of a shadow, kept in the database: the newest of each, without any name."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy import Engine, select

from core import limits
from core.shadow.comparison import Figures, Kind
from core.state.database import reading, timestamp
from core.state.tables import CASES, SHADOWS

# What a volume difference is of; ``total`` is both labels.
PARTS = ("total", "anterior", "posterior")
_RANGE_PERCENT = (2.5, 97.5)


@dataclass(frozen=True)
class Row(Figures):
    """The figures of one scan's hippocampus, as they are kept.

    Attributes
    ----------
    scan : str
        The same for both sides of a head.
    case_id : str or None
    seconds, shadow_seconds : float
        Of the whole scan.
    """

    scan: str
    case_id: str | None
    seconds: float
    shadow_seconds: float

    def difference_mm3(self, part: str) -> float:
        """Volume of the shadow's mask less that of the version in service."""
        if part == "total":
            return self.difference_mm3("anterior") + self.difference_mm3("posterior")
        own: float = getattr(self, f"{part}_mm3")
        shadow: float = getattr(self, f"shadow_{part}_mm3")
        return shadow - own


@dataclass(frozen=True)
class Spread:
    """Median of differences (mm3), and the range that holds 95 % of them."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """A shadow against the version in service: of crops, or of one side of heads.

    Attributes
    ----------
    scans : int
    dice : dict of str to float or None
        Median Dice between the two by `PARTS`; None where neither had a voxel in any scan.
    difference_mm3 : dict of str to Spread
        Shadow less version in service, by `PARTS`.
    time_ratio : float
        Median of the shadow's seconds over those of the version in service.
    """

    kind: Kind
    side: str
    scans: int
    dice: dict[str, float | None]
    difference_mm3: dict[str, Spread]
    time_ratio: float


def add(
    engine: Engine, shadow: int, version: int, case_id: str | None, figures: Sequence[Figures],
    seconds: float, shadow_seconds: float,
) -> bool:  # fmt: skip
    """Keep the figures of one scan; returns False if its case was deleted meanwhile.

    Parameters
    ----------
    seconds, shadow_seconds
        Of the whole scan.
    """
    scan, at = uuid.uuid4().hex, timestamp()
    with engine.begin() as connection:
        if case_id is not None:
            there = select(CASES.c.id).where(CASES.c.id == case_id, CASES.c.deleted_at.is_(None))
            if connection.scalar(there) is None:
                return False
        for each in figures:
            connection.execute(
                SHADOWS.insert().values(
                    at=at, version=version, shadow=shadow, scan=scan, case_id=case_id,
                    seconds=seconds, shadow_seconds=shadow_seconds, **asdict(each),
                )
            )  # fmt: skip
        of_shadow = select(SHADOWS.c.id).where(SHADOWS.c.shadow == shadow)
        newest = of_shadow.order_by(SHADOWS.c.id.desc()).limit(limits.MAX_SHADOW_ROWS)
        connection.execute(
            SHADOWS.delete().where(SHADOWS.c.shadow == shadow, SHADOWS.c.id.not_in(newest))
        )
    return True


def rows(engine: Engine, shadow: int, version: int) -> list[Row]:
    """The figures of a shadow beside a version in service, the newest first.

    Those of cases that are deleted, and could still be restored, are left out.
    """
    names = list(Row.__dataclass_fields__)
    query = (
        select(*(SHADOWS.c[name] for name in names))
        .outerjoin(CASES, CASES.c.id == SHADOWS.c.case_id)
        .where(SHADOWS.c.shadow == shadow, SHADOWS.c.version == version)
        .where(SHADOWS.c.case_id.is_(None) | CASES.c.deleted_at.is_(None))
        .order_by(SHADOWS.c.id.desc())
    )
    with reading(engine) as connection:
        return [Row(*row) for row in connection.execute(query)]


def summaries(found: Sequence[Row]) -> list[Summary]:
    """Crops, left sides and right sides, as far as there are any."""
    groups: tuple[tuple[Kind, str], ...] = (("crop", ""), ("head", "left"), ("head", "right"))
    chosen = (
        [row for row in found if (row.kind, row.side) == group] for group in groups
    )  # fmt: skip
    return [_summary(some) for some in chosen if some]


def most_different(found: Sequence[Row], most: int) -> list[Row]:
    """The rows of kept cases with the lowest Dice, the lowest first."""
    kept = [row for row in found if row.case_id is not None and row.dice is not None]
    return sorted(kept, key=lambda row: row.dice or 0.0)[:most]


def _summary(found: Sequence[Row]) -> Summary:
    dice = {"total": [row.dice for row in found],
            "anterior": [row.dice_anterior for row in found],
            "posterior": [row.dice_posterior for row in found]}  # fmt: skip
    ratios = [row.shadow_seconds / row.seconds for row in found if row.seconds > 0]
    return Summary(
        found[0].kind, found[0].side, len(found),
        {part: _median(values) for part, values in dice.items()},
        {part: _spread([row.difference_mm3(part) for row in found]) for part in PARTS},
        float(np.median(ratios)) if ratios else 1.0,
    )  # fmt: skip


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _spread(values: Sequence[float]) -> Spread:
    low, high = np.percentile(values, _RANGE_PERCENT)
    return Spread(float(np.median(values)), float(low), float(high))
