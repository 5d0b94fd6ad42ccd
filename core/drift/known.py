"""What cases of a kind are compared with: what the model knows, or what people said is normal."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from loguru import logger

from core import limits
from core.drift.baseline import Baseline, HeadBaseline
from core.drift.chains import digest_of
from core.drift.kinds import Kind
from core.drift.normal import Normal, Normals
from core.drift.reference import ReferenceCase, training_crops, training_heads
from core.errors import StorageError
from core.measures.features import Values
from core.wording import counted


@dataclass(frozen=True)
class Known:
    """A reference.

    Attributes
    ----------
    reference : sequence of Values
    words : str
        What it is.
    apart : collection of str
        Ids of the cases that are part of it, which are not compared with themselves.
    since : str
        Cases before do not count; empty where all do.
    is_complete : bool
        False while the house's baseline is learned.
    normal : Normal or None
        Where it was accepted as the new normal.
    instead_of : str
        `core.drift.chains.digest_of` what it would be if nothing was accepted.
    own : sequence of Values
        What it would be if nothing was accepted; the same where nothing is.
    acts : int
        How often something was accepted or taken back.
    trouble : StorageError or None
        Why it is not known.
    """

    reference: Sequence[Values]
    words: str
    apart: Collection[str] = ()
    since: str = ""
    is_complete: bool = True
    normal: Normal | None = None
    instead_of: str = ""
    own: Sequence[Values] = ()
    acts: int = 0
    trouble: StorageError | None = None


def known_of(
    kind: Kind,
    number: int,
    trained: Sequence[ReferenceCase],
    house: HeadBaseline,
    normals: Normals,
) -> Known:
    """What cases of a kind are compared with.

    Parameters
    ----------
    number, trained
        The version in service, and its `core.models.registry.Registry.reference`.
    house
        The baseline of heads, where the training had none.
    normals
    """
    try:
        own = own_of(kind, number, trained, house)
        newest = normals.newest(kind)
    except StorageError as error:  # the other kind is compared all the same
        logger.warning("What {}s are compared with: {}", kind, error.message)
        return Known([], "a baseline that cannot be read", trouble=error)
    digest = digest_of(own.reference)
    own = replace(own, instead_of=digest, own=own.reference, acts=newest.number if newest else 0)
    if newest is None or not newest.cases or newest.instead_of != digest or not own.is_complete:
        return own
    words = (
        f"{counted(len(newest.cases), kind)} since {newest.since[:10]} that were accepted here as "
        f"the new normal on {newest.at[:10]}"
    )
    return replace(
        own, reference=list(newest.cases.values()), words=words, apart=newest.cases,
        since=newest.since, normal=newest,
    )  # fmt: skip


def own_of(kind: Kind, number: int, trained: Sequence[ReferenceCase], house: HeadBaseline) -> Known:
    """What cases of a kind are compared with where nothing was accepted.

    Raises
    ------
    StorageError
    """
    reference = training_crops(trained) if kind == "crop" else training_heads(trained)
    if kind == "crop" or len(reference) >= limits.MIN_DRIFT_CASES:
        many = counted(len(reference), kind)
        return Known(reference, f"the {many} that model version {number} was trained on")
    baseline = house.get()
    return Known(
        list(baseline.heads.values()), _words_of(baseline), baseline.heads,
        is_complete=bool(baseline.frozen_at),
    )  # fmt: skip


def _words_of(baseline: Baseline) -> str:
    if not baseline.frozen_at:
        return f"the first {limits.BASELINE_HEADS} heads to be accepted here"
    return (
        f"the first {counted(len(baseline.heads), 'head')} that were accepted here, complete "
        f"since {baseline.frozen_at[:10]}"
    )
