"""*Forget this patient*: at once and for good, with a receipt that is handed over and not kept."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from core.cases.ending import of_patient
from core.cases.store import Cases
from core.errors import ConflictError, HippoViewError, NotFoundError
from core.models.registry import Registry
from core.people.acting import actor
from core.people.audit import mark, record, recording
from core.state.database import timestamp
from core.training.data.dataset import Datasets
from core.training.data.leftovers import Leftovers
from core.training.data.names import source_of


@dataclass(frozen=True)
class Receipt:
    """What was forgotten, by whom, and when. It is the only place that still names the patient.

    Attributes
    ----------
    patient : str
        The pseudonym.
    cases : tuple of str
        Ids of the cases that were removed.
    by, at : str
        The name of who did it; ISO 8601, UTC.
    trail : tuple of str
        What stands for the patient, and for each case, in the trail.
    versions_trained_on_it : tuple of int
        Model versions whose training used a scan. They keep its features and a hash of its voxels,
        without a name: a version's files are never changed.
    """

    patient: str
    cases: tuple[str, ...]
    by: str
    at: str
    trail: tuple[str, ...]
    versions_trained_on_it: tuple[int, ...]

    def file(self) -> bytes:
        """As JSON, to be downloaded."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def forget(cases: Cases, registry: Registry, leftovers: Leftovers, patient: str) -> Receipt:
    """Remove all of a patient: cases, deleted ones too, and what was made of them.

    A process that is killed meanwhile leaves whole cases; call it again.

    Raises
    ------
    ConflictError
        Not all cases of the storage are known yet.
    NotFoundError
        Nobody has this pseudonym.
    AccessError, ForbiddenError, StorageError
    """
    cases.guard.require("delete")
    if not cases.caretaker.progress.finished:
        raise ConflictError(
            "Cases are still being taken in from the storage", "Try again in a few minutes."
        )
    case_ids: list[str] = []
    versions = set[int]()
    engine = cases.acts.engine
    who = mark(engine, "patient", patient)
    # Again, until nobody has sent another scan of the patient meanwhile.
    while further := [i for i in of_patient(cases.acts, patient) if i not in case_ids]:
        versions.update(_trained_on(further, registry, Datasets(cases.acts.storage)))
        with recording(engine) as connection:  # first: nothing goes without a line
            record(connection, "forget", who, note=f"scans: {len(further)}")
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        for case_id in further:
            cases.acts.remove(case_id, at, lambda record: True, note="its patient was forgotten")
        leftovers.purge(further)
        case_ids += further
    if not case_ids:
        raise NotFoundError("There is no such patient", "All of the patient's cases are gone.")
    marks = (who, *(mark(engine, "case", case_id) for case_id in case_ids))
    return Receipt(
        patient, tuple(case_ids), actor().name, timestamp(), marks, tuple(sorted(versions))
    )


def _trained_on(case_ids: Sequence[str], registry: Registry, datasets: Datasets) -> tuple[int, ...]:
    """The versions whose training used one of these cases, as far as data sets tell."""
    hashes = set[str]()
    for dataset in datasets.find():
        entries = dict(dataset.cases)
        with suppress(HippoViewError):
            entries |= datasets.former(dataset.name)
        hashes |= {e.content_sha256 for name, e in entries.items() if source_of(name) in case_ids}
    numbers = []
    for version in registry.find() if hashes else ():
        with suppress(HippoViewError):  # one whose files are damaged
            used = {case["content_sha256"] for case in registry.reference(version.number)}
            if hashes & used:
                numbers.append(version.number)
    return tuple(numbers)
