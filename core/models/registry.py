"""Model versions: their files in the storage, their figures in the database.

Version 1 is the model that comes with the program. Exactly one version is in service: the last of
`core.models.service_log`, which the database follows. The files of a version are verified against
the database each time they are opened. Nothing is uploaded or downloaded inside a transaction.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loguru import logger
from sqlalchemy import Connection, Engine, Row, select

from core import limits
from core.errors import ModelError, NotFoundError
from core.models.folder import CARD_NAME, Model, load_model, sha256_of
from core.models.in_service import InService, as_it_was, listed, no_version, previous_of
from core.models.registrations import FOLDER, RECORDED, Registrations, numbers
from core.models.service_log import UNKNOWN, Note, Promotion
from core.people import audit
from core.people.permission import Guard
from core.state.database import reading, timestamp
from core.state.storage import Storage
from core.state.tables import VERSIONS

Stage = Literal["candidate", "serving", "retired"]
REFERENCE_NAME = "reference.json"


@dataclass(frozen=True)
class Version:
    """One model version.

    Attributes
    ----------
    sha256 : str
        Of the weights.
    card : dict
        What its ``card.json`` says.
    evaluations : dict of str to dict
        By test set's key, the figures of `core.training.evaluation.evaluate.summary` of crops,
        and others that name their ``kind``: see `of_kind`.
    lineage : dict
        What it was made from: parent, job, data set, configuration, program versions.
    """

    number: int
    stage: Stage
    created_at: str
    sha256: str
    card: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]
    lineage: dict[str, Any]

    def of_kind(self, kind: str = "") -> dict[str, dict[str, Any]]:
        """The evaluations of a kind, by their keys; of crops, which name none, by default.

        Kinds are ``heads`` (`core.training.evaluation.head_figures`) and ``latency``
        (`core.training.evaluation.latency`).
        """
        return {k: e for k, e in self.evaluations.items() if e.get("kind", "") == kind}


class Registry:
    """The model versions of one installation.

    Parameters
    ----------
    engine, storage
    embedded_dir
        Folder of the model that comes with the program.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        embedded_dir: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._storage = storage
        self._embedded_dir = embedded_dir
        self._service = InService(engine, storage, self._import_versions, clock)
        self._registrations = Registrations(engine, storage)

    def prepare(self) -> None:
        """Make database and storage agree, and register the embedded model if it is new.

        Raises
        ------
        ModelError
            There is no version at all and the embedded model cannot be used.
        StorageError
        """
        self._registrations.settle(self._insert)
        stages = self._import_versions()
        self._registrations.write_records_behind()
        number_by_sha256 = {version.sha256: version.number for version in self.find()}
        embedded = self._embedded(needed=not number_by_sha256)
        if embedded is not None and embedded.sha256 not in number_by_sha256:
            files = {name: (embedded.folder / name).read_bytes() for name in embedded.card["files"]}
            lineage = {"source": "came with the program"}
            number_by_sha256[embedded.sha256] = self.add(embedded.card, files, {}, lineage).number
        first = embedded and number_by_sha256.get(embedded.sha256)
        installed = Promotion(timestamp(), first or min(number_by_sha256.values()), "installed")
        self._service.begin(as_it_was(stages) or [installed])

    def _embedded(self, *, needed: bool) -> Model | None:
        try:
            return load_model(self._embedded_dir)
        except ModelError:
            if needed:
                raise
            logger.warning("The model that comes with the program cannot be read")
            return None

    def add(
        self,
        card: Mapping[str, Any],
        files: Mapping[str, bytes],
        evaluations: Mapping[str, Any],
        lineage: Mapping[str, Any],
        check_still_ours: Callable[[], None] | None = None,
    ) -> Version:
        """Register a candidate. Its number and the hashes of its files go into its card.

        Parameters
        ----------
        card
            Without ``version`` and ``files``.
        files
            By name: the weights that the card names, plans, data set, reference.
        check_still_ours
            Of a training, whose ``lineage`` names it: raises if another process has it.

        Raises
        ------
        StorageError
            It was not registered, or the database is behind: then the next start finishes it.
        """
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        self._registrations.settle(self._insert)
        reserved = self._registrations.reserve()
        number = reserved.number
        try:
            full_card = {**card, "version": str(number), "files": hashes}
            card_file = json.dumps(full_card, indent=2).encode()
            record = {
                "number": number,
                "created_at": timestamp(),
                "sha256": sha256_of(full_card),
                "card_sha256": hashlib.sha256(card_file).hexdigest(),
                "card": card_file.decode(),
                "metrics": json.dumps(evaluations),
                "lineage": json.dumps(lineage),
            }
            for name, content in (*files.items(), (CARD_NAME, card_file)):
                self._storage.write(f"{FOLDER}/{number}/{name}", content)
            # Last: once the record is written the version exists, whatever happens now.
            self._registrations.complete(reserved, record, check_still_ours)
        except BaseException:
            self._registrations.give_up(reserved)
            raise
        self._insert(number, record)
        self._registrations.forget(number, reserved.token)
        logger.info("Model version {} was registered", number)
        return self.get(number)

    def made_by(self, job_uid: str) -> Version | None:
        """The version that a training registered; None if it did not, and then no longer can."""
        self._registrations.settle(self._insert, job_uid)
        for version in self.find():
            if version.lineage.get("job_uid") == job_uid:
                return version
        return None

    def get(self, number: int) -> Version:
        """One version.

        Raises
        ------
        NotFoundError
        """
        with reading(self._engine) as connection:
            return _version(_row(connection, number), listed(connection))

    def find(self) -> list[Version]:
        """All versions, the newest first."""
        with reading(self._engine) as connection:
            promotions = listed(connection)
            rows = connection.execute(select(VERSIONS).order_by(VERSIONS.c.number.desc()))
            return [_version(row, promotions) for row in rows]

    def serving(self) -> Version:
        """The version in service.

        Raises
        ------
        NotFoundError
            `prepare` has not been called.
        """
        with reading(self._engine) as connection:
            promotions = listed(connection)
            if not promotions:
                raise NotFoundError("No model version is in service")
            return _version(_row(connection, promotions[-1].number), promotions)

    def previous(self) -> int | None:
        """The version that `roll_back` would put into service."""
        with reading(self._engine) as connection:
            return previous_of(listed(connection))

    @contextmanager
    def open(self, number: int) -> Iterator[Model]:
        """A version's verified files, for as long as the block lasts.

        Raises
        ------
        ModelError
            A file is not the one that was registered.
        NotFoundError, StorageError
        """
        with reading(self._engine) as connection:
            row = _row(connection, number)
        with self._storage.local(f"{FOLDER}/{number}") as folder:
            card_file = folder / CARD_NAME
            content = card_file.read_bytes() if card_file.is_file() else b""
            if hashlib.sha256(content).hexdigest() != row.card_sha256:
                raise ModelError(
                    f"The card of model version {number} is missing or is not the one that was "
                    "registered",
                    "Restore the file, or put another version into service on the Models page.",
                )
            yield load_model(folder)

    @contextmanager
    def open_serving(self) -> Iterator[Model]:
        """The files of the version in service; see `open`."""
        with self.open(self.serving().number) as model:
            yield model

    def reference(self, number: int) -> list[dict[str, Any]]:
        """What a version was trained on: hash and drift features of each case.

        The fields are ``content_sha256``, ``features``, ``inherited`` (whether only a version
        before it was trained on the case) and, of crops cut from heads, ``head``: see
        `core.drift.reference`.
        """
        with self.open(number) as model:
            return reference_of(model)

    def add_evaluation(self, number: int, key: str, evaluation: dict[str, Any]) -> None:
        """Store a version's figures on a test set, replacing older ones on the same set.

        Raises
        ------
        NotFoundError, StorageError
        """
        with audit.recording(self._engine) as connection:
            row = _row(connection, number)
            kept = {k: v for k, v in json.loads(row.metrics).items() if k != key}
            metrics = dict(list(kept.items())[1 - limits.MAX_EVALUATIONS :]) | {key: evaluation}
            # Marked together with the change: killed before its record follows, the start sees it.
            _set(connection, number, metrics=json.dumps(metrics), record_behind=1)
            audit.record(connection, "version", f"version {number}", note="judged")
        self._registrations.write_records_behind()

    def promote(self, number: int, note: Note = UNKNOWN, over: int | None = None) -> None:
        """Put a version into service; the gate was asked before, by `core.training.promotion`.

        Parameters
        ----------
        note
            For the history.
        over
            The version in service that it was compared with; left out, whichever it is.

        Raises
        ------
        ConflictError
            It serves already, or someone else was faster.
        NotFoundError
        StorageError
            What serves has not changed; or the words say that it will.
        AccessError, ForbiddenError
        """
        self._guard.require("models")
        self._service.put(number, "promoted", note, over)

    def roll_back(self, number: int, note: Note = UNKNOWN) -> None:
        """Put the version back into service that served before the current one.

        Parameters
        ----------
        number, note
            What `previous` said; and for the history.

        Raises
        ------
        ConflictError
            It is no longer that one: someone else was faster.
        StorageError
            As `promote`.
        AccessError, ForbiddenError
        """
        self._guard.require("models")
        self._service.put(number, "rolled back", note)

    def settle(self) -> None:
        """Make the database follow the storage; see `core.models.in_service.InService.settle`.

        Raises
        ------
        StorageError
            Not now; the next call tries again.
        """
        self._service.settle()

    def history(self) -> list[Promotion]:
        """What was put into service when, by whom and why; the newest first."""
        with reading(self._engine) as connection:
            return listed(connection)[::-1]

    def _insert(self, number: int, record: Mapping[str, Any]) -> None:
        """Insert a version into the database, if it is not there."""
        values = {name: record[name] for name in RECORDED}
        with audit.recording(self._engine, needed=False) as connection:
            there = select(VERSIONS.c.number).where(VERSIONS.c.number == number)
            if connection.scalar(there) is None:
                # One of an earlier program names a stage: it is written again.
                behind = int("stage" in record)
                connection.execute(VERSIONS.insert().values(**values, record_behind=behind))
                what, after = f"version {number}", str(values["sha256"])
                audit.record(connection, "version", what, after=after, note="registered")

    def _import_versions(self) -> dict[int, str]:
        """Import the versions of the storage that the database does not know.

        Returns
        -------
        dict of int to str
            The stage of each by number, where its record is of an earlier version and names one.
        """
        with reading(self._engine) as connection:
            numbers_here = set(connection.scalars(select(VERSIONS.c.number)))
        stages = {}
        for number in set(numbers(self._storage)) - numbers_here - self._registrations.under_way():
            try:
                record = self._registrations.record(number)
            except ModelError as error:
                logger.warning("{}: it is left out", error.message)
                continue
            if record is None:
                self._registrations.remove_stray(number)
                continue
            self._insert(number, record)
            logger.info("Model version {} of the storage was taken in", number)
            if "stage" in record:
                stages[number] = str(record["stage"])
        return stages


def reference_of(model: Model) -> list[dict[str, Any]]:
    """What a model was trained on; see `Registry.reference`."""
    if REFERENCE_NAME not in model.card["files"]:
        return []
    return list(model.json(REFERENCE_NAME)["cases"])


def _row(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(select(VERSIONS).where(VERSIONS.c.number == number)).one_or_none()
    if row is None:
        raise no_version(number)
    return row


def _version(row: Row[Any], listed: Sequence[Promotion]) -> Version:
    stage: Stage = "candidate"
    if listed and listed[-1].number == row.number:
        stage = "serving"
    elif any(entry.number == row.number for entry in listed):
        stage = "retired"
    return Version(
        row.number, stage, row.created_at, row.sha256,
        json.loads(row.card), json.loads(row.metrics), json.loads(row.lineage),
    )  # fmt: skip


def _set(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(VERSIONS.update().where(VERSIONS.c.number == number).values(**values))
