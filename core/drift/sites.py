"""Drift of the scans of other sites, which send their features alone.

Each site has chains of its own, by the rule of `core.drift.chains`, compared with what the version
in service here was trained on. A new version, or another reference or run length, begins anew:
nothing is kept here but scores, and a hash by which a scan that is sent twice counts once.
"""

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select

from core import limits
from core.drift.calibration import STREAMS, calibrate
from core.drift.chains import digest_of
from core.drift.cusum import Severity, Thresholds, added, level_of, severity_after
from core.drift.kinds import Kind, followed
from core.drift.reference import training_crops, training_heads
from core.drift.scores import Scale
from core.errors import ConflictError, InputError
from core.measures.features import Values
from core.measures.head_features import is_of_head
from core.models.registry import Registry
from core.people.permission import Guard
from core.state.database import reading, timestamp
from core.state.tables import DRIFT_CHAINS, SITE_CHAINS, SITE_STEPS

# Sites of an installation, and scans of one request.
MOST_SITES, MOST_SCANS = 50, 100
_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
# No feature comes near it.
_LARGEST = 1e12
_NEIGHBOURS: dict[Kind, int] = {"crop": 2, "head": 1}


@dataclass(frozen=True)
class SiteDrift:
    """The state of a site's crops or heads.

    Attributes
    ----------
    scans : int
        Since the chain began.
    since : str
        When the state began; empty where it has been quiet from the first.
    level : float
        The evidence.
    features : tuple of str
        Those that speak for a change, the strongest first.
    """

    site: str
    kind: Kind
    version: int
    run_length: int
    scans: int
    severity: Severity
    since: str
    level: float
    thresholds: Thresholds
    features: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "site": self.site, "kind": self.kind, "model_version": self.version,
            "state": self.severity, "since": self.since or None, "scans": self.scans,
            "evidence": round(self.level, 3), "thresholds": asdict(self.thresholds),
            "run_length": self.run_length, "features": list(self.features),
        }  # fmt: skip


class Sites:
    """The other sites of an installation.

    Parameters
    ----------
    engine, registry
    run_length, streams
        See `core.drift.watch.DriftWatch`.
    """

    def __init__(
        self, engine: Engine, registry: Registry, run_length: int, streams: int = STREAMS
    ) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._registry = registry
        self._run_length = run_length
        self._streams = streams
        self._beginning = threading.Lock()

    def add_all(self, site: str, scans: Sequence[Values]) -> list[tuple[SiteDrift, int]]:
        """Add scans of both kinds; see `add`.

        Returns
        -------
        list of (SiteDrift, int)
            For crops and for heads, as far as there are such.

        Raises
        ------
        AccessError, ForbiddenError, InputError, ConflictError
        """
        self._guard.require("sites")
        by_kind: dict[Kind, list[Values]] = {}
        for values in scans:
            by_kind.setdefault("head" if is_of_head(values) else "crop", []).append(values)
        return [self.add(site, kind, those) for kind, those in by_kind.items()]

    def add(self, site: str, kind: Kind, scans: Sequence[Values]) -> tuple[SiteDrift, int]:
        """Add scans to a site's chain, in their order.

        Parameters
        ----------
        scans
            Features, as `core.measures.features` or `core.measures.head_features` give them.

        Returns
        -------
        tuple of SiteDrift and int
            The state after them, and how many were new.

        Raises
        ------
        InputError
            The name or a value is none, or there are too many.
        ConflictError
            There are `MOST_SITES` others already, or the version in service has nothing to
            compare such scans with.
        """
        check_site(site)
        checked = [_checked(values, kind) for values in scans]
        if not 0 < len(checked) <= MOST_SCANS:
            raise InputError(
                f"{len(checked)} scans were sent", f"Send 1 to {MOST_SCANS} at once.",
                code="bad_features",
            )  # fmt: skip
        identity, version, reference = self._now(site, kind)
        scale = Scale(reference, followed(kind))
        scored = [(_hash(values), scale.score(values)) for values in checked]
        self._begin(identity, version, reference)
        with self._engine.begin() as connection:
            count = _add(connection, _row(connection, identity), kind, dict(scored))
            return _found(_row(connection, identity)), count

    def find(self) -> list[SiteDrift]:
        """The newest chain of each site and kind, by name."""
        newest = select(func.max(SITE_CHAINS.c.id)).group_by(SITE_CHAINS.c.site, SITE_CHAINS.c.kind)
        query = select(SITE_CHAINS).where(SITE_CHAINS.c.id.in_(newest))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(SITE_CHAINS.c.site, SITE_CHAINS.c.kind)).all()
        return [_found(row) for row in rows]

    def _now(self, site: str, kind: Kind) -> tuple[dict[str, Any], int, list[Values]]:
        """What tells the chain of now from others, the version, and the reference."""
        history, version = self._registry.history(), self._registry.serving().number
        trained = self._registry.reference(version)
        reference = training_crops(trained) if kind == "crop" else training_heads(trained)
        if len(reference) < limits.MIN_DRIFT_CASES:
            raise ConflictError(
                f"Model version {version} knows too few {kind}s of its training to compare with",
                "Send crops, or put a version into service that was trained on heads.",
                code="no_reference",
            )
        identity = {
            "site": site, "kind": kind, "promotion": len(history),
            "reference": digest_of(reference), "run_length": self._run_length,
        }  # fmt: skip
        return identity, version, reference

    def _begin(self, identity: dict[str, Any], version: int, reference: list[Values]) -> None:
        """Begin the chain, if there is none; one at a time, since a simulation takes seconds."""
        with reading(self._engine) as connection:
            if _row(connection, identity) is not None:
                return
        with self._beginning:
            self._begin_alone(identity, version, reference)

    def _begin_alone(self, identity: dict[str, Any], version: int, reference: list[Values]) -> None:
        with reading(self._engine) as connection:
            if _row(connection, identity) is not None:
                return
            _refuse_too_many(connection, identity["site"])
            known = connection.scalar(_thresholds_of(identity))
        if known is None:
            kind: Kind = identity["kind"]
            features = Scale(reference, followed(kind)).features
            thresholds = calibrate(
                reference, features, self._run_length, _NEIGHBOURS[kind], self._streams
            )
            known = json.dumps(asdict(thresholds))
        values = identity | {
            "version": version, "began_at": timestamp(), "thresholds": known, "sums": "{}",
            "scans": 0, "severity": "quiet", "since": "",
        }  # fmt: skip
        with self._engine.begin() as connection:
            if _row(connection, identity) is None:
                _refuse_too_many(connection, identity["site"])
                # Of a chain that has ended its state stays.
                ended = select(SITE_CHAINS.c.id).where(
                    SITE_CHAINS.c.site == identity["site"], SITE_CHAINS.c.kind == identity["kind"]
                )
                connection.execute(delete(SITE_STEPS).where(SITE_STEPS.c.chain.in_(ended)))
                connection.execute(SITE_CHAINS.insert().values(**values))


def check_site(name: str) -> None:
    """Refuse what is no name of a site.

    Raises
    ------
    InputError
    """
    if not _SITE.fullmatch(name):
        raise InputError(
            "A site's name has 1 to 32 small letters, figures and hyphens",
            "Name it such as mainz-radiology.",
            code="bad_site",
        )


def features_in(text: str) -> list[Values]:
    """The scans of a request: a JSON list of objects.

    Raises
    ------
    InputError
        It is none. The values are checked by `Sites.add`.
    """
    try:
        scans = json.loads(text)
    except (ValueError, RecursionError):
        scans = None
    if not isinstance(scans, list) or not all(isinstance(each, dict) for each in scans):
        raise InputError(
            "The field features is not a JSON list of objects",
            'Send [{"contrast": 1.1, ...}, ...], an object for each scan.',
            code="bad_features",
        )
    return scans


def _checked(values: Mapping[str, object], kind: Kind) -> Values:
    known = {feature.key for feature in followed(kind)}
    numbers: Values = {}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_sane(value):
            raise InputError(
                "A feature is not a number", "Send finite numbers by feature.", code="bad_features"
            )
        if key in known:
            numbers[key] = float(value)
    if not numbers or is_of_head(numbers) != (kind == "head"):
        raise InputError(
            f"These are not the features of a {kind}",
            "Send those that /api/drift answers with, or that the drift command writes.",
            code="bad_features",
        )
    return numbers


def _is_sane(value: float) -> bool:
    return abs(value) < _LARGEST  # false of what is no number


def _hash(values: Values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _row(connection: Connection, identity: Mapping[str, Any]) -> Any:
    wanted = [SITE_CHAINS.c[name] == value for name, value in identity.items()]
    return connection.execute(select(SITE_CHAINS).where(*wanted)).one_or_none()


def _thresholds_of(identity: Mapping[str, Any]) -> Any:
    """Those of another chain with this reference and run length: a simulation takes seconds."""
    asked = ("kind", "reference", "run_length")
    of_cases, of_sites = (
        select(table.c.thresholds).where(*(table.c[name] == identity[name] for name in asked))
        for table in (DRIFT_CHAINS, SITE_CHAINS)
    )
    return of_cases.union_all(of_sites).limit(1)


def _refuse_too_many(connection: Connection, site: str) -> None:
    names = set(connection.scalars(select(SITE_CHAINS.c.site).distinct()))
    if site not in names and len(names) >= MOST_SITES:
        raise ConflictError(
            f"{len(names)} sites are followed, which is the most",
            "Check the name that was sent; it is told apart by every letter.",
            code="too_many_sites",
        )


def _add(
    connection: Connection, chain: Row[Any], kind: Kind, scans: Mapping[str, Mapping[str, float]]
) -> int:
    """Add the scores of scans, by hash, that were not added yet; returns how many these were."""
    known = select(SITE_STEPS.c.scan).where(
        SITE_STEPS.c.chain == chain.id, SITE_STEPS.c.scan.in_(scans)
    )
    was_added = set(connection.scalars(known))
    thresholds = Thresholds(**json.loads(chain.thresholds))
    of_image = {feature.key for feature in followed(kind) if not feature.note}
    sums, severity, since = json.loads(chain.sums), chain.severity, chain.since
    steps, at = list[dict[str, Any]](), timestamp()
    for scan, scores in scans.items():
        if scan in was_added:
            continue
        sums = added(sums, scores, thresholds)
        before, level = severity, level_of(sums)
        severity = severity_after(before, level, level_of(sums, of_image), thresholds)
        since = since if severity == before else at
        number = chain.scans + len(steps) + 1
        steps.append({
            "chain": chain.id, "number": number, "scan": scan, "at": at,
            "scores": json.dumps(scores),
        })  # fmt: skip
    if steps:
        connection.execute(SITE_STEPS.insert(), steps)
        connection.execute(
            SITE_CHAINS.update()
            .where(SITE_CHAINS.c.id == chain.id)
            .values(sums=json.dumps(sums), scans=chain.scans + len(steps), severity=severity,
                    since=since)
        )  # fmt: skip
    return len(steps)


def _found(row: Row[Any]) -> SiteDrift:
    sums, thresholds = json.loads(row.sums), Thresholds(**json.loads(row.thresholds))
    moved = sorted(
        (key for key, pair in sums.items() if max(pair) >= thresholds.watch / 2),
        key=lambda key: -max(sums[key]),
    )
    return SiteDrift(
        row.site, row.kind, row.version, row.run_length, row.scans, row.severity, row.since,
        level_of(sums), thresholds, tuple(moved),
    )  # fmt: skip
