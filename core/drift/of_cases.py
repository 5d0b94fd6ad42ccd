"""The newest cases against what the version in service knows: crops and heads, each apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core import limits
from core.cases.case import CaseRow
from core.cases.store import Cases
from core.drift.baseline import Baseline, HeadBaseline
from core.drift.chains import Chain
from core.drift.comparison import Drift, State, compare
from core.drift.kinds import Kind
from core.drift.reference import ReferenceCase, training_crops, training_heads
from core.drift.words import chain_dict, count_words
from core.errors import StorageError
from core.measures.features import FEATURES, Values
from core.measures.head_features import HEAD_FEATURES, is_of_head
from core.models.registry import Registry
from core.state.storage import Storage
from core.wording import counted

OLDER = "segmented by an earlier version, which kept no features"
IN_BASELINE = "of the baseline itself"
WAITING = "until the baseline is complete"
_URGENT: tuple[State, ...] = ("act", "watch", "quiet")


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
        """That of a kind."""
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
    heads = [(row, values) for row, values in rows if is_of_head(values)]
    crops = [(row, values) for row, values in rows if not is_of_head(values)]
    all_heads = cases.head_count()
    chains = chains or {}
    of_crops = _crops(crops, cases.count() - all_heads, trained, number, last)
    of_heads = _heads(heads, all_heads, trained, number, last, HeadBaseline(cases, storage))
    return CaseDrift(
        number,
        replace(of_crops, chain=chains.get("crop")),
        replace(of_heads, chain=chains.get("head")),
    )


_Cases = Sequence[tuple[CaseRow, Values]]


def _crops(
    crops: _Cases, on_list: int, trained: Sequence[ReferenceCase], number: int, last: int
) -> KindDrift:
    reference = training_crops(trained)
    window = _window(crops, last)
    older = on_list - len(crops)
    words = f"the {counted(len(reference), 'crop')} that model version {number} was trained on"
    return KindDrift(
        "crop", compare(reference, [v for _, v in window]), words, reference,
        [v for _, v in window], [row for row, _ in window], {OLDER: older} if older > 0 else {},
    )  # fmt: skip


def _heads(
    heads: _Cases,
    on_list: int,
    trained: Sequence[ReferenceCase],
    number: int,
    last: int,
    of_installation: HeadBaseline,
) -> KindDrift:
    reference = training_heads(trained)
    older = on_list - len(heads)
    left_out = {OLDER: older} if older > 0 else {}
    if len(reference) >= limits.MIN_DRIFT_CASES:
        words = f"the {counted(len(reference), 'head')} that model version {number} was trained on"
        later = heads
    else:
        try:
            baseline = of_installation.get()
        except StorageError as error:  # crops are compared all the same
            unknown = Drift("not enough yet", (f"{error.message}. {error.hint}",), 0, 0, (), ())
            words = "a baseline that cannot be read"
            return KindDrift("head", unknown, words, [], [], [], left_out)
        reference = list(baseline.heads.values())
        words = _words_of(baseline)
        later = [(row, values) for row, values in heads if row.id not in baseline.heads]
        if len(heads) > len(later):
            left_out[IN_BASELINE] = len(heads) - len(later)
        if not baseline.frozen_at:
            if later:
                left_out[WAITING] = len(later)
            learning = Drift(
                "learning the baseline",
                (f"{len(reference)} of {limits.BASELINE_HEADS} accepted heads are there",),
                len(reference), 0, (), (),
            )  # fmt: skip
            return KindDrift("head", learning, words, reference, [], [], left_out)
    window = _window(later, last)
    return KindDrift(
        "head", compare(reference, [v for _, v in window], HEAD_FEATURES), words, reference,
        [v for _, v in window], [row for row, _ in window], left_out,
    )  # fmt: skip


def _words_of(baseline: Baseline) -> str:
    if not baseline.frozen_at:
        return f"the first {limits.BASELINE_HEADS} heads to be accepted here"
    return (
        f"the first {counted(len(baseline.heads), 'head')} that were accepted here, complete "
        f"since {baseline.frozen_at[:10]}"
    )


def _window(cases: _Cases, last: int) -> _Cases:
    """The newest, the oldest of them first; ``cases`` begins with the newest."""
    return cases[: max(0, last)][::-1]
