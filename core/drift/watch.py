"""Looks for new cases, and adds them to the chains of crops and heads."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from loguru import logger
from sqlalchemy import Engine, func, select

from core import limits
from core.cases.store import Cases
from core.drift.baseline import HeadBaseline
from core.drift.calibration import STREAMS, calibrate
from core.drift.chains import Chain, ChainKey, Chains, digest_of
from core.drift.kinds import KINDS, Kind, followed
from core.drift.known import Known, known_of, own_of
from core.drift.normal import Normals
from core.drift.scores import Scale
from core.drift.unlike import LEAST_SCANS, Span
from core.errors import ConflictError, HippoViewError
from core.findings import Finding
from core.measures.features import Values
from core.measures.head_features import is_of_head
from core.models.registry import Registry
from core.people.acting import SERVER, acting_as
from core.pipeline import Analysis
from core.state.database import reading
from core.state.storage import Storage
from core.state.tables import API_SCANS, FEATURES, PROMOTIONS

# A chain begins with so many.
LEAST_CASES = 5
# Crops of a data set are left and right of one person, one after the other.
_NEIGHBOURS: dict[Kind, int] = {"crop": 2, "head": 1}


class DriftWatch:
    """Follows the cases of an installation.

    Parameters
    ----------
    engine, cases, registry, storage
    run_length
        Cases until a false alarm, on average.
    streams
        Simulated for the thresholds of a new chain.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        cases: Cases,
        registry: Registry,
        storage: Storage,
        run_length: int = limits.DRIFT_RUN_LENGTH,
        streams: int = STREAMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._registry = registry
        self._baseline = HeadBaseline(cases, storage)
        self._normals = Normals(cases, storage)
        self._chains = Chains(engine)
        self._run_length = run_length
        self._streams = streams
        self._clock = clock
        self._due_at = 0.0
        self._seen: tuple[int, ...] | None = None
        self._spans: dict[Kind, tuple[str, Span | None]] = {}
        # What the last look of this process found.
        self.latest: dict[Kind, Chain | None] = {}

    def tick(self) -> None:
        """Add what is new; begin chains where they are needed.

        Raises
        ------
        StorageError
            The database cannot be read.
        """
        with reading(self._engine) as connection:
            seen = tuple(
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (FEATURES, PROMOTIONS, API_SCANS)
            )
        if seen == self._seen and self._clock() < self._due_at:
            return
        self._seen, self._due_at = seen, self._clock() + limits.BASELINE_EVERY_S
        # Before all cases of the storage are known they come in another order; before the first
        # version serves, which a first start registers, there is nothing to compare with.
        if not self._cases.caretaker.progress.finished or not self._registry.history():
            self._seen = None
            return
        try:
            self.look(may_begin=True)
        except HippoViewError as error:
            logger.warning("Drift cannot be followed: {}", error.message)

    def look(self, *, may_begin: bool = False) -> dict[Kind, Chain | None]:
        """Add what is new, and say how the chains are.

        Parameters
        ----------
        may_begin
            Whether to begin a chain that has not: its simulation takes seconds.

        Returns
        -------
        dict of Kind to Chain or None
            None where there is too little to compare with, or the chain has not begun.

        Raises
        ------
        HippoViewError
        """
        self._cases.guard.require("watch")
        history = self._registry.history()
        version = self._registry.serving().number
        trained = self._registry.reference(version)
        chains: dict[Kind, Chain | None] = {}
        for kind in KINDS:
            known = known_of(kind, version, trained, self._baseline, self._normals)
            self._remember(kind, known)
            since = max(history[0].at, known.since)
            key = ChainKey(kind, len(history), since, version, self._run_length)
            chains[kind] = self._look(key, known, may_begin=may_begin)
        self.latest = chains
        return chains

    def knows(self, kind: Kind) -> bool:
        """Whether enough is known of a kind for `findings` to say anything. Never raises."""
        try:
            if kind not in self._spans:
                with acting_as(SERVER):
                    self.look()
        except HippoViewError as error:
            logger.warning("Whether a scan is unlike all others cannot be said: {}", error.message)
        return self._spans.get(kind, ("", None))[1] is not None

    def findings(self, values: Values, example: Values | None = None) -> tuple[Finding, ...]:
        """What is said of one scan that is unlike anything that is known. Never raises.

        Parameters
        ----------
        values
            Its features.
        example
            Of the scan that ships, an average of many brains: it is unlike any one brain, and said
            to be what it is.
        """
        kind: Kind = "head" if is_of_head(values) else "crop"
        if not self.knows(kind):
            return ()
        _, span = self._spans[kind]
        if span is None or (example is not None and span.are_same(values, example)):
            return ()
        return span.findings(values, kind)

    def noted(self, analysis: Analysis, example: Callable[[], Values]) -> Analysis:
        """An analysis with its `findings`, where there are any."""
        # Features of a head take a while: not where nothing could be said of it.
        if not self.knows("crop" if analysis.segmentation.head is None else "head"):
            return analysis
        further = self.findings(analysis.features, example())
        if not further:
            return analysis
        return replace(analysis, findings=(*analysis.findings, *further))

    def _remember(self, kind: Kind, known: Known) -> None:
        """Keep the span of what is known, for `findings`."""
        scans = [*known.own, *(known.normal.cases.values() if known.normal else ())]
        if not known.is_complete or len(scans) < LEAST_SCANS:
            self._spans[kind] = ("", None)
            return
        digest = digest_of(scans)
        if kind not in self._spans or self._spans[kind][0] != digest:
            of_image = [feature for feature in followed(kind) if not feature.note]
            self._spans[kind] = (digest, Span(scans, of_image, _NEIGHBOURS[kind]))

    def accept(self, kind: Kind, case_ids: Sequence[str], reason: str, seen: Known) -> None:
        """Accept cases as the new normal of their kind; see `core.drift.normal.Normals.accept`.

        Parameters
        ----------
        seen
            What cases were compared with when that was decided.

        Raises
        ------
        ConflictError
            They are compared with something else by now.
        HippoViewError
        """
        version = self._registry.serving().number
        own = own_of(kind, version, self._registry.reference(version), self._baseline)
        if digest_of(own.reference) != seen.instead_of or not own.is_complete:
            raise ConflictError(
                f"Model version {version} compares {kind}s with other scans than those shown",
                "Look at the page again, then decide.",
                code="changed_meanwhile",
            )
        self._normals.accept(kind, seen.instead_of, case_ids, reason, seen.acts)
        self._due_at = 0.0

    def take_back(self, kind: Kind, reason: str, seen: Known) -> None:
        """Compare with the reference of the model, or of the house, again; see `accept`.

        Raises
        ------
        HippoViewError
        """
        self._normals.take_back(kind, reason, seen.acts)
        self._due_at = 0.0

    def _look(self, key: ChainKey, known: Known, *, may_begin: bool) -> Chain | None:
        reference = known.reference
        if not known.is_complete or len(reference) < limits.MIN_DRIFT_CASES:
            return None
        apart = list(known.apart)
        if not self._chains.has(key, reference):
            # Before, *watch* is hardly reached, and a few cases are not worth the simulation.
            if not may_begin or self._chains.waiting(key, apart) < LEAST_CASES:
                return None
            features = Scale(reference, followed(key.kind)).features
            if not features:
                return None
            thresholds = calibrate(
                reference, features, self._run_length, _NEIGHBOURS[key.kind], self._streams
            )
            self._chains.begin(key, reference, thresholds)
            logger.info("Drift of {}s is followed anew", key.kind)
        if self._cases.caretaker.progress.finished:
            self._chains.take_in(key, reference, apart)
        return self._chains.get(key, reference)
