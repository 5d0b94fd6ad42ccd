"""The newest cases against what the version in service knows: crops and heads, each apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from core import limits
from core.cases.case import CaseRow
from core.cases.store import Cases
from core.drift.baseline import HeadBaseline
from core.drift.chains import Chain
from core.drift.comparison import Drift, State, compare
from core.drift.kinds import Kind
from core.drift.known import Known, known_of
from core.drift.looks import OFF_SD, Looks
from core.drift.normal import Normal, Normals
from core.drift.words import chain_dict, count_words
from core.measures.features import FEATURES, Values
from core.measures.head_features import HEAD_FEATURES, is_of_head
from core.models.registry import Registry
from core.state.storage import Storage
from core.wording import counted

OLDER = "segmented by an earlier version, which kept no features"
IN_BASELINE = "of the baseline itself"
WAITING = "until the baseline is complete"
BEFORE = "from before the new normal"
_MOST_SCANNERS = 5
_URGENT: tuple[State, ...] = ("act", "watch", "quiet")


@dataclass(frozen=True)
class OfScanner:
    """Cases of one scanner since a change, and how many of them are off; see `Looks.off`."""

    scanner: str
    cases: int
    off: int


@dataclass(frozen=True)
class KindDrift:
    """The comparison of one kind of cases.

    Attributes
    ----------
    drift : Drift
    reference_words : str
        What they are compared with.
    reference, window : sequence of Values
    cases : sequence of CaseRow
        Of the window, in the order of their creation.
    left_out : dict of str to int
        How many cases on the list are not compared, by the reason.
    known : Known or None
        The reference, with what is known of it.
    rows : sequence of CaseRow
        All cases of the kind that have features, the newest first.
    scanners : sequence of OfScanner
        Since the change, where DICOM headers said the scanner; the most cases first.
    chain : Chain or None
        The cases one by one, which the state follows from; None where they are not followed.
    """

    kind: Kind
    drift: Drift
    reference_words: str
    reference: Sequence[Values]
    window: Sequence[Values]
    cases: Sequence[CaseRow]
    left_out: dict[str, int]
    known: Known | None = None
    rows: Sequence[CaseRow] = ()
    scanners: Sequence[OfScanner] = ()
    chain: Chain | None = None

    @property
    def state(self) -> State:
        """By the rule of the chain; where it has no case, by the comparison of the window."""
        return self.chain.severity if self.chain and self.chain.scans else self.drift.state

    @property
    def counted_words(self) -> str:
        """How many cases were counted, against what, and how many were left out and why."""
        words = f"{counted(len(self.window), self.kind)} counted, against {self.reference_words}."
        left_out = [f"{counted(n, self.kind)} {why}" for why, n in self.left_out.items()]
        if left_out:
            words += f" Left out: {'; '.join(left_out)}."
        if missing := self.not_compared:
            words += f" Not known of the reference: {', '.join(missing)}."
        if self.chain and self.chain.scans:
            words += f" {count_words(self.chain)}"
        return words

    @property
    def scanner_words(self) -> list[str]:
        """How the change is spread over scanners, a sentence each."""
        if self.chain is None or not self.chain.moved:
            return []
        moved = self.chain.moved[0]
        how = moved.feature.higher if moved.direction > 0 else moved.feature.lower
        return [
            f"Of {counted(each.cases, self.kind)} of the scanner {each.scanner} since then, "
            f"{each.off} {how} by {OFF_SD:.0f} SD or more"
            for each in self.scanners[:_MOST_SCANNERS]
        ]

    @property
    def not_compared(self) -> list[str]:
        """Names of the features that too few cases have, where others are compared."""
        known = {comparison.feature.key for comparison in self.drift.comparisons}
        features = HEAD_FEATURES if self.kind == "head" else FEATURES
        return [f.name for f in features if known and f.key not in known and not f.note]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return self.drift.as_dict() | {
            "reference": self.reference_words, "left_out": self.left_out,
            "monitoring": chain_dict(self.chain) if self.chain else None,
            "by_scanner": [asdict(each) for each in self.scanners],
            "new_normal": _normal_dict(self.known.normal) if self.known else None,
        }  # fmt: skip


@dataclass(frozen=True)
class CaseDrift:
    """The comparisons of both kinds, against what the version in service knows."""

    version: int
    crops: KindDrift
    heads: KindDrift

    @property
    def state(self) -> State:
        """The more urgent one of both; a kind that cannot be judged yet counts for nothing."""
        states = (self.crops.state, self.heads.state)
        return next((s for s in _URGENT if s in states), self.crops.state)

    def of(self, kind: Kind) -> KindDrift:
        """The drift of one kind of cases."""
        return self.crops if kind == "crop" else self.heads


def drift_of_cases(
    cases: Cases,
    registry: Registry,
    storage: Storage,
    last: int,
    chains: Mapping[Kind, Chain | None] | None = None,
) -> CaseDrift:
    """Compare the newest cases of each kind, ``last`` of each at most.

    Parameters
    ----------
    chains
        What `core.drift.watch.DriftWatch.look` said.

    Raises
    ------
    HippoViewError
    """
    number = registry.serving().number
    trained = registry.reference(number)
    rows = cases.features()
    all_heads = cases.head_count()
    on_list = {"crop": cases.count() - all_heads, "head": all_heads}
    house, normals = HeadBaseline(cases, storage), Normals(cases, storage)

    def of(kind: Kind) -> KindDrift:
        known = known_of(kind, number, trained, house, normals)
        own = [(row, values) for row, values in rows if is_of_head(values) == (kind == "head")]
        drift = _of_kind(kind, own, on_list[kind], known, last)
        chain = (chains or {}).get(kind)
        by_scanner = scanners_of(cases, chain.looks) if chain else ()
        return replace(drift, chain=chain, rows=[row for row, _ in own], scanners=by_scanner)

    return CaseDrift(number, of("crop"), of("head"))


def scanners_of(cases: Cases, looks: Looks) -> list[OfScanner]:
    """The cases since a change by scanner; none where no header said it."""
    if not looks.since:
        return []
    scanner = {case: name for case, name in cases.scanners(looks.since).items() if name}
    many, off = Counter(scanner.values()), Counter(map(scanner.get, looks.off))
    return [OfScanner(name, count, off[name]) for name, count in many.most_common()]


_Cases = Sequence[tuple[CaseRow, Values]]


def _of_kind(kind: Kind, rows: _Cases, on_list: int, known: Known, last: int) -> KindDrift:
    reference, words = known.reference, known.words
    left_out = {OLDER: on_list - len(rows)} if on_list > len(rows) else {}
    if known.trouble is not None:
        reason = f"{known.trouble.message}. {known.trouble.hint}"
        unknown = Drift("not enough yet", (reason,), 0, 0, (), ())
        return KindDrift(kind, unknown, words, [], [], [], left_out, known)
    others = [(row, values) for row, values in rows if row.id not in known.apart]
    later = [(row, values) for row, values in others if row.created_at >= known.since]
    if len(rows) > len(others):
        left_out[IN_BASELINE] = len(rows) - len(others)
    if len(others) > len(later):
        left_out[BEFORE] = len(others) - len(later)
    if not known.is_complete:
        if later:
            left_out[WAITING] = len(later)
        learning = Drift(
            "learning the baseline",
            (f"{len(reference)} of {limits.BASELINE_HEADS} accepted heads are there",),
            len(reference), 0, (), (),
        )  # fmt: skip
        return KindDrift(kind, learning, words, reference, [], [], left_out, known)
    window = _window(later, last)
    features = HEAD_FEATURES if kind == "head" else FEATURES
    return KindDrift(
        kind, compare(reference, [v for _, v in window], features), words, reference,
        [v for _, v in window], [row for row, _ in window], left_out, known,
    )  # fmt: skip


def _normal_dict(normal: Normal | None) -> dict[str, Any] | None:
    if normal is None:
        return None
    return {
        "at": normal.at, "by": normal.by, "reason": normal.reason, "since": normal.since,
        "cases": len(normal.cases),
    }  # fmt: skip


def _window(cases: _Cases, last: int) -> _Cases:
    """The newest, the oldest of them first; ``cases`` begins with the newest."""
    return cases[: max(0, last)][::-1]
