"""Drift from scan to scan: each new case adds to a chain, which is kept in the database.

A chain is of one kind of cases, one promotion, one reference and one run length; with another of
these a new one begins, and takes in the cases since the promotion. A case counts once, by its id,
however many processes look; one with the very features of a case before it adds nothing, so that a
scan that is dropped again and again is no drift. What a case added stays when it is removed for
good, without its id.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, exists, select

from core.cases.lists import not_deleted
from core.drift.cusum import (
    ENDS_AT,
    Severity,
    Sums,
    Thresholds,
    added,
    beginning_of,
    level_of,
    severity_after,
)
from core.drift.kinds import Kind, followed
from core.drift.looks import NOTHING, Looks, looks_of
from core.drift.scores import Scale
from core.measures.features import Feature, Values
from core.state.database import reading, timestamp
from core.state.tables import API_SCANS, CASES, DRIFT_CHAINS, DRIFT_STEPS, FEATURES

# Cases that are taken in by one transaction.
_AT_ONCE = 64
# Newest scans among which one that comes again is known, and a beginning is looked for.
_LOOK_BACK = 400


@dataclass(frozen=True)
class ChainKey:
    """Which chain.

    Attributes
    ----------
    promotion : int
        How many promotions there were.
    since : str
        When the last was, or the first case of a new normal; cases before do not count.
    version : int
    """

    kind: Kind
    promotion: int
    since: str
    version: int
    run_length: int


@dataclass(frozen=True)
class Scan:
    """A scan of a chain: its number, from 1; its case, or nothing where that is gone; its time."""

    number: int
    case_id: str | None
    at: str


@dataclass(frozen=True)
class Moved:
    """A feature that evidence speaks against.

    Attributes
    ----------
    direction : int
        1 up, -1 down.
    evidence : float
        Its sum.
    first, earliest, latest : Scan
        The first scan that is most likely off, and where it may have begun as well.
    away_sd : float
        Median distance from the reference's since then, in the reference's standard deviations.
    """

    feature: Feature
    direction: int
    evidence: float
    first: Scan
    earliest: Scan
    latest: Scan
    away_sd: float


@dataclass(frozen=True)
class Chain:
    """A chain as it is.

    Attributes
    ----------
    scans : int
        How many it has.
    severity : Severity
    since : str
        When that began, ISO 8601, UTC; empty where it has been quiet from the first.
    level : float
    moved : tuple of Moved
        The strongest evidence first; none while it is quiet.
    looks : Looks
        Cases to look at; none while it is quiet.
    """

    kind: Kind
    version: int
    run_length: int
    began_at: str
    thresholds: Thresholds
    scans: int
    severity: Severity
    since: str
    level: float
    moved: tuple[Moved, ...]
    looks: Looks = NOTHING


class Chains:
    """The chains of a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def has(self, key: ChainKey, reference: Sequence[Values]) -> bool:
        """Whether a chain has begun."""
        with reading(self._engine) as connection:
            return _row(connection, key, reference) is not None

    def waiting(self, key: ChainKey, apart: Sequence[str] = ()) -> int:
        """How many cases a chain would begin with, up to those that it takes in at once."""
        with reading(self._engine) as connection:
            of_api = _new_of_api(connection, 0, key)
            return len(_new_cases(connection, -1, key, apart)) + len(of_api)

    def begin(self, key: ChainKey, reference: Sequence[Values], thresholds: Thresholds) -> None:
        """Begin a chain, unless another process did."""
        values = _identity(key, reference) | {
            "version": key.version, "began_at": timestamp(),
            "thresholds": json.dumps(asdict(thresholds)), "sums": "{}", "scans": 0,
            "severity": "quiet", "since": "",
        }  # fmt: skip
        with self._engine.begin() as connection:
            if _row(connection, key, reference) is None:
                connection.execute(DRIFT_CHAINS.insert().values(**values))

    def take_in(self, key: ChainKey, reference: Sequence[Values], apart: Sequence[str] = ()) -> int:
        """Add the cases that are new to a chain that has begun, the oldest first.

        Parameters
        ----------
        apart
            Ids of cases that do not count: those of the reference itself.

        Returns
        -------
        int
            How many were added.
        """
        scale, total = Scale(reference, followed(key.kind)), 0
        while True:
            with reading(self._engine) as connection:
                chain = _row(connection, key, reference)
                if chain is None:
                    return total
                new = _new_cases(connection, chain.id, key, apart)
                of_api = _new_of_api(connection, chain.api_taken, key)
            # Computed before the transaction: other writers wait for its end.
            scored = [(case_id, at, _scored(scale, content)) for case_id, at, content in new]
            scored_of_api = [(number, at, _scored(scale, text)) for number, at, text in of_api]
            if not scored and not scored_of_api:
                return total
            with self._engine.begin() as connection:
                total += sum(_add(connection, chain.id, key.kind, *each) for each in scored)
                total += sum(
                    _add_of_api(connection, chain.id, key.kind, *each) for each in scored_of_api
                )

    def get(self, key: ChainKey, reference: Sequence[Values]) -> Chain | None:
        """A chain as it is; None where it has not begun."""
        with reading(self._engine) as connection:
            row = _row(connection, key, reference)
            if row is None:
                return None
            sums: Sums = json.loads(row.sums)
            thresholds = Thresholds(**json.loads(row.thresholds))
            steps = [] if row.severity == "quiet" else _newest(connection, row.id)
        candidates = [
            _moved(feature, sums[feature.key], steps)
            for feature in followed(key.kind)
            if max(sums.get(feature.key, (0,))) >= ENDS_AT * thresholds.watch
        ]
        moved = tuple(sorted(filter(None, candidates), key=lambda each: -each.evidence))
        looks = NOTHING
        if steps and moved:
            told = [(scan.number, scan.case_id, scores) for scan, scores in steps]
            most = moved[0]
            direction = (most.feature.key, most.direction)
            looks = looks_of(told, most.first.number, direction, followed(key.kind))
        return Chain(
            key.kind, row.version, row.run_length, row.began_at, thresholds, row.scans,
            row.severity, row.since, level_of(sums), moved if steps else (), looks,
        )  # fmt: skip


def digest_of(reference: Sequence[Values]) -> str:
    """What tells a reference from others."""
    return hashlib.sha256(json.dumps(list(reference), sort_keys=True).encode()).hexdigest()


def _identity(key: ChainKey, reference: Sequence[Values]) -> dict[str, object]:
    return {
        "kind": key.kind, "promotion": key.promotion, "reference": digest_of(reference),
        "run_length": key.run_length,
    }  # fmt: skip


def _row(connection: Connection, key: ChainKey, reference: Sequence[Values]) -> Row[Any] | None:
    wanted = [DRIFT_CHAINS.c[name] == value for name, value in _identity(key, reference).items()]
    return connection.execute(select(DRIFT_CHAINS).where(*wanted)).one_or_none()


def _new_cases(
    connection: Connection, chain: int, key: ChainKey, apart: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Id, time and features of cases that are not in a chain, the oldest first."""
    counted = exists().where(DRIFT_STEPS.c.chain == chain, DRIFT_STEPS.c.case_id == CASES.c.id)
    # What `core.measures.head_features.is_of_head` asks for.
    of_head = FEATURES.c.content.contains('"misfit"', autoescape=True)
    query = (
        select(CASES.c.id, CASES.c.created_at, FEATURES.c.content)
        .join(FEATURES)
        .where(
            not_deleted(), CASES.c.created_at >= key.since, CASES.c.id.not_in(apart),
            of_head if key.kind == "head" else ~of_head, ~counted,
        )
        .order_by(CASES.c.created_at, CASES.c.id)
        .limit(_AT_ONCE)
    )  # fmt: skip
    return [(case_id, at, content) for case_id, at, content in connection.execute(query)]


def _scored(scale: Scale, content: str) -> dict[str, list[float]]:
    """By feature its score, and how far it is away in standard deviations."""
    values: Values = json.loads(content)
    away = scale.away_sd(values)
    return {key: [score, away[key]] for key, score in scale.score(values).items()}


def _new_of_api(connection: Connection, taken: int, key: ChainKey) -> list[tuple[int, str, str]]:
    """Number, time and features of the next scans that the API kept alone, the oldest first."""
    query = (
        select(API_SCANS.c.id, API_SCANS.c.at, API_SCANS.c.content)
        .where(API_SCANS.c.id > taken, API_SCANS.c.at >= key.since, API_SCANS.c.kind == key.kind)
        .order_by(API_SCANS.c.id)
        .limit(_AT_ONCE)
    )
    return [(number, at, content) for number, at, content in connection.execute(query)]


def _add(
    connection: Connection, chain: int, kind: Kind, case_id: str, at: str,
    scores: Mapping[str, list[float]],
) -> bool:  # fmt: skip
    """Add a case, unless it was, or is gone; returns whether it was added."""
    was_added = exists().where(DRIFT_STEPS.c.chain == chain, DRIFT_STEPS.c.case_id == case_id)
    is_there = exists().where(CASES.c.id == case_id)
    if not connection.scalar(select(is_there & ~was_added)):
        return False
    _step(connection, chain, kind, case_id, at, scores)
    return True


def _add_of_api(
    connection: Connection, chain: int, kind: Kind, number: int, at: str,
    scores: Mapping[str, list[float]],
) -> bool:  # fmt: skip
    """Add a scan that the API kept alone, unless it was; returns whether it was added."""
    # Its number is written first, and only over a lower one: two processes cannot add it twice.
    marked = connection.execute(
        DRIFT_CHAINS.update()
        .where(DRIFT_CHAINS.c.id == chain, DRIFT_CHAINS.c.api_taken < number)
        .values(api_taken=number)
    )
    if not marked.rowcount:
        return False
    _step(connection, chain, kind, None, at, scores)
    return True


def _step(
    connection: Connection, chain: int, kind: Kind, case_id: str | None, at: str,
    scores: Mapping[str, list[float]],
) -> None:  # fmt: skip
    """Add a scan to the sums of a chain."""
    row = connection.execute(select(DRIFT_CHAINS).where(DRIFT_CHAINS.c.id == chain)).one()
    number, sums = row.scans + 1, json.loads(row.sums)
    thresholds = Thresholds(**json.loads(row.thresholds))
    content = json.dumps(scores)
    again = exists().where(
        DRIFT_STEPS.c.chain == chain, DRIFT_STEPS.c.number > number - _LOOK_BACK,
        DRIFT_STEPS.c.scores == content,
    )  # fmt: skip
    if connection.scalar(select(again)):
        content = "{}"
    else:
        sums = added(sums, {key: score for key, (score, _) in scores.items()}, thresholds)
    of_image = {feature.key for feature in followed(kind) if not feature.note}
    level = level_of(sums)
    severity = severity_after(row.severity, level, level_of(sums, of_image), thresholds)
    connection.execute(DRIFT_STEPS.insert().values(
        chain=chain, number=number, case_id=case_id, at=at, scores=content, level=level,
        severity=severity,
    ))  # fmt: skip
    since = row.since if severity == row.severity else at
    connection.execute(
        DRIFT_CHAINS.update()
        .where(DRIFT_CHAINS.c.id == chain)
        .values(sums=json.dumps(sums), scans=number, severity=severity, since=since)
    )


_Step = tuple[Scan, dict[str, list[float]]]


def _newest(connection: Connection, chain: int) -> list[_Step]:
    """The newest scans of a chain, the oldest of them first; cases on the list have their ids."""
    query = (
        select(DRIFT_STEPS.c.number, CASES.c.id, DRIFT_STEPS.c.at, DRIFT_STEPS.c.scores)
        .outerjoin(CASES, (CASES.c.id == DRIFT_STEPS.c.case_id) & not_deleted())
        .where(DRIFT_STEPS.c.chain == chain)
        .order_by(DRIFT_STEPS.c.number.desc())
        .limit(_LOOK_BACK)
    )
    rows = connection.execute(query).all()[::-1]
    return [(Scan(number, case, at), json.loads(scores)) for number, case, at, scores in rows]


def _moved(feature: Feature, sums: tuple[float, float], steps: Sequence[_Step]) -> Moved | None:
    having = [(scan, scores[feature.key]) for scan, scores in steps if feature.key in scores]
    if not having:
        return None
    beginning = beginning_of([score for _, (score, _) in having])
    away = sorted(away_sd for _, (_, away_sd) in having[beginning.best :])
    first, earliest, latest = (
        having[place][0] for place in (beginning.best, beginning.earliest, beginning.latest)
    )
    direction = 1 if sums[0] >= sums[1] else -1
    return Moved(
        feature, direction, max(sums), first, earliest, latest, away[len(away) // 2]
    )  # fmt: skip
