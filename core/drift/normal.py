"""*Accepted as the new normal*: cases of this installation that replace the drift reference.

A list in the storage for each kind, a file an act, numbered from 1: one that accepts holds the
cases with their features, one that takes back holds none, and the newest counts. No file is
replaced, so that of two acts at once one is refused; only the names of cases that are gone are
taken out (`core.training.data.leftovers`). It stands in for the one reference that it was accepted
against: a model version that brings another one is compared with its own again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from core import limits
from core.cases.store import Cases
from core.drift.kinds import Kind
from core.errors import ChangedError, ConflictError, InputError, NotFoundError, StorageError
from core.measures.features import Values
from core.measures.head_features import is_of_head
from core.people.acting import NOBODY
from core.people.audit import fingerprint, record_alone
from core.state.database import timestamp
from core.state.fields import check_shape, check_times, object_of
from core.state.storage import Storage

FOLDER = "drift/normal"
_FORMAT = 1
_SHAPE = {
    "format": int, "at": str, "by": str, "reason": str, "instead_of": str, "since": str,
    "cases": [{"case": str, "features": {"*": float}}],
}  # fmt: skip


@dataclass(frozen=True)
class Normal:
    """An act: cases that were accepted, or none where that was taken back.

    Attributes
    ----------
    number : int
        Of the act, from 1.
    at, by, reason : str
        When (ISO 8601, UTC), whose account, and why.
    instead_of : str
        `core.drift.chains.digest_of` the reference that it stands in for.
    since : str
        When the first of its cases was segmented; none before it counts.
    cases : dict of str to Values
        Features by case id, the oldest first.
    """

    number: int
    at: str
    by: str
    reason: str
    instead_of: str
    since: str
    cases: dict[str, Values]


class Normals:
    """What was accepted in an installation.

    Parameters
    ----------
    cases, storage
    """

    def __init__(self, cases: Cases, storage: Storage) -> None:
        self._cases = cases
        self._storage = storage

    def newest(self, kind: Kind) -> Normal | None:
        """The newest act; None if there was none.

        Raises
        ------
        StorageError
            It cannot be read.
        """
        keys = self._storage.keys(_folder(kind))
        return _read(self._storage, keys[-1]) if keys else None

    def accept(
        self, kind: Kind, instead_of: str, case_ids: Sequence[str], reason: str, seen: int
    ) -> Normal:
        """Accept cases as the new normal.

        Parameters
        ----------
        instead_of
            `core.drift.chains.digest_of` what cases of the kind are compared with where nothing is
            accepted.
        case_ids
            Those that were looked at; one that is gone by now is left out, and so is the same scan
            a second time.
        reason
            Why they are as they should be.
        seen
            Number of the newest act when that was decided, 0 for none.

        Raises
        ------
        ConflictError
            Somebody else accepted or took back meanwhile, or too few of the cases are left.
        InputError
            The reason says too little.
        AccessError, ForbiddenError, StorageError
        """
        wanted = set(case_ids)
        chosen: dict[str, Values] = {}
        since = ""
        for row, values in reversed(self._cases.features()):
            is_of_kind = is_of_head(values) == (kind == "head")
            if row.id in wanted and is_of_kind and values not in chosen.values():
                chosen[row.id] = values
                since = since or row.created_at
        least, most = limits.MIN_DRIFT_CASES, limits.MOST_NORMAL_CASES
        if not least <= len(chosen) <= most:
            raise ConflictError(
                f"These are {len(chosen)} different scans, and a new normal has {least} to {most}",
                "Choose another number of cases.",
                code="bad_normal",
            )
        act = Normal(seen + 1, timestamp(), "", reason, instead_of, since, chosen)
        return self._do(kind, act, f"new normal of {len(chosen)} cases")

    def take_back(self, kind: Kind, reason: str, seen: int) -> Normal:
        """Compare with the reference of the model or of the house again.

        Parameters
        ----------
        reason, seen
            See `accept`.

        Raises
        ------
        ConflictError
            Nothing is accepted, or somebody else accepted or took back meanwhile.
        InputError, AccessError, ForbiddenError, StorageError
        """
        newest = self.newest(kind)
        if newest is None or (not newest.cases and newest.number == seen):
            raise ConflictError("Nothing is accepted as the new normal", code="bad_normal")
        return self._do(kind, Normal(seen + 1, timestamp(), "", reason, "", "", {}), "taken back")

    def _do(self, kind: Kind, act: Normal, note: str) -> Normal:
        who = self._cases.guard.require("settings")
        reason = " ".join(act.reason.split())
        least, most = limits.MIN_REASON_CHARS, limits.MAX_REASON_CHARS
        if not least <= len(reason) <= most:
            raise InputError(
                f"A reason has {least} to {most} characters",
                "Say why these scans are as they should be.",
                code="no_reason",
            )
        act = replace(act, by=who.name, reason=reason)
        newest = self.newest(kind)
        if (newest.number if newest else 0) != act.number - 1:
            raise _done_meanwhile(newest)
        # The storage alone has it: its line comes first, so that no act is without one.
        content = _file_of(act)
        engine = self._cases.guard.engine
        record_alone(
            engine, "settings", f"drift of {kind}s", after=fingerprint(engine, content),
            note=f"{note}: {reason}",
        )  # fmt: skip
        try:
            self._storage.replace(_key(kind, act.number), content, None)
        except ChangedError as error:
            raise _done_meanwhile(self.newest(kind)) from error
        return act


def _folder(kind: Kind) -> str:
    return f"{FOLDER}/{kind}"


def _key(kind: Kind, number: int) -> str:
    return f"{_folder(kind)}/{number:06}.json"


def _file_of(act: Normal) -> bytes:
    content: dict[str, Any] = asdict(act) | {
        "format": _FORMAT,
        "cases": [{"case": case, "features": values} for case, values in act.cases.items()],
    }
    del content["number"]  # its name says it
    return json.dumps(content).encode()


def _read(storage: Storage, key: str) -> Normal:
    try:
        content = object_of(storage.read(key))
        check_shape(content, _SHAPE)
        check_times(content["at"], *filter(None, (content["since"],)))
        number = int(key.rpartition("/")[2].removesuffix(".json"))
    except (NotFoundError, ValueError) as error:
        raise StorageError(
            "What was accepted as the new normal is damaged in the storage",
            f"Restore {key} from a backup, or delete it: then what was before it counts.",
            code="storage_damaged",
        ) from error
    cases = {case["case"]: case["features"] for case in content["cases"]}
    return Normal(
        number, content["at"], content["by"], content["reason"], content["instead_of"],
        content["since"], cases,
    )  # fmt: skip


def who_words(normal: Normal) -> str:
    """Whose act it was."""
    return "somebody who had not signed in" if normal.by == NOBODY.name else normal.by


def _done_meanwhile(newest: Normal | None) -> ConflictError:
    at = newest.at[:16].replace("T", " ") if newest else ""
    who = f" by {who_words(newest)}, {at} UTC" if newest else ""
    return ConflictError(
        f"The normal was changed meanwhile{who}",
        "Look at the page again, then decide.",
        code="changed_meanwhile",
    )
