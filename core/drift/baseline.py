"""The heads that an installation compares its later heads with, where the training had none.

They are the first `limits.BASELINE_HEADS` that people accepted or corrected. Once so many are there
they are written to the storage, with their features, by a file that is never replaced: what is
deleted or reviewed again afterwards, and a lost database, change nothing. Whoever wants another
baseline, such as after a change of the scanner, deletes the file.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from core import limits
from core.cases.store import Cases
from core.errors import ChangedError, HippoViewError, NotFoundError, StorageError
from core.measures.features import Values
from core.measures.head_features import is_of_head
from core.state.database import timestamp
from core.state.fields import check_shape, check_times, object_of
from core.state.storage import Storage

KEY = "drift/heads.json"
_FORMAT = 1
_SHAPE = {"format": int, "frozen_at": str, "heads": [{"case": str, "features": {"*": float}}]}


@dataclass(frozen=True)
class Baseline:
    """The heads of a baseline.

    Attributes
    ----------
    heads : dict of str to Values
        Features by case id, in the order in which they were accepted.
    frozen_at : str
        ISO 8601, UTC; empty while it is learned.
    """

    heads: dict[str, Values]
    frozen_at: str = ""


class HeadBaseline:
    """Learns the baseline of an installation, and keeps it.

    Parameters
    ----------
    cases, storage
    clock
        Seconds that never jump.
    """

    def __init__(
        self, cases: Cases, storage: Storage, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cases = cases
        self._storage = storage
        self._clock = clock
        self._due_at = 0.0

    def get(self) -> Baseline:
        """The baseline, frozen by this call if enough heads are there.

        Raises
        ------
        StorageError
            It cannot be read or written.
        """
        stored = self._stored()
        if stored is not None:
            return stored
        accepted = self._accepted()
        # Before all cases of the storage are known these need not be the first ones.
        if len(accepted) < limits.BASELINE_HEADS or not self._cases.caretaker.progress.finished:
            return Baseline(accepted)
        baseline = Baseline(accepted, timestamp())
        try:
            self._storage.replace(KEY, _file_of(baseline), None)
        except ChangedError:  # another process was faster
            return self._stored() or Baseline(accepted)
        logger.info("The first {} accepted heads are the baseline of later ones", len(accepted))
        return baseline

    def tick(self) -> None:
        """Freeze the baseline as soon as it can be. Never raises."""
        if self._clock() < self._due_at:
            return
        self._due_at = self._clock() + limits.BASELINE_EVERY_S
        try:
            self.get()
        except HippoViewError as error:
            logger.warning("The baseline of heads: {}", error.message)

    def _accepted(self) -> dict[str, Values]:
        """The first accepted heads, as many as a baseline takes."""
        heads: dict[str, Values] = {}
        for case_id, values in self._cases.accepted_features():
            # One scan that was dropped fifty times is no baseline.
            if is_of_head(values) and values not in heads.values():
                heads[case_id] = values
            if len(heads) == limits.BASELINE_HEADS:
                break
        return heads

    def _stored(self) -> Baseline | None:
        try:
            content = object_of(self._storage.read(KEY))
            check_shape(content, _SHAPE)
            check_times(content["frozen_at"])
        except NotFoundError:
            return None
        except ValueError as error:
            raise StorageError(
                "The baseline of heads in the storage is damaged",
                f"Restore {KEY} from a backup, or delete it: then it is learned again.",
                code="storage_damaged",
            ) from error
        heads = {head["case"]: head["features"] for head in content["heads"]}
        return Baseline(heads, content["frozen_at"])


def _file_of(baseline: Baseline) -> bytes:
    heads = [{"case": case, "features": values} for case, values in baseline.heads.items()]
    content = {"format": _FORMAT, "frozen_at": baseline.frozen_at, "heads": heads}
    return json.dumps(content).encode()
