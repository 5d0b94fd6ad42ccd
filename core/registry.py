"""Model versions: their files in the storage, their stage and figures in the database.

Version 1 is the model that comes with the program. Exactly one version is in service. The
files of a version are verified against the database each time they are opened.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loguru import logger
from sqlalchemy import Connection, Engine, Row, func, select

from core.database import PROMOTIONS, VERSIONS, timestamp
from core.drift import Values
from core.errors import ConflictError, ModelError, NotFoundError
from core.model import CARD_NAME, Model, load_model, sha256_of
from core.storage import Storage

Stage = Literal["candidate", "serving", "retired"]
REFERENCE_NAME = "reference.json"
_FOLDER = "models"
_RECORD = "version.json"


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
        Figures by test set: `core.training.evaluate.Evaluation` as a dict, by its key.
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


class Registry:
    """The model versions of one installation.

    Parameters
    ----------
    engine, storage
    embedded_dir
        Folder of the model that comes with the program.
    """

    def __init__(self, engine: Engine, storage: Storage, embedded_dir: Path) -> None:
        self._engine = engine
        self._storage = storage
        self._embedded_dir = embedded_dir

    def prepare(self) -> None:
        """Take in what a bucket has, and the embedded model if it is new.

        Raises
        ------
        ModelError
            There is no version at all and the embedded model cannot be used.
        """
        with self._engine.begin() as connection:
            empty = not connection.scalar(select(func.count()).select_from(VERSIONS))
        if empty:
            empty = not self._adopt()
        try:
            embedded = load_model(self._embedded_dir)
        except ModelError:
            if empty:
                raise
            logger.warning("The model that comes with the program cannot be read")
            return
        with self._engine.begin() as connection:
            known = connection.scalar(
                select(VERSIONS.c.number).where(VERSIONS.c.sha256 == embedded.sha256)
            )
        if known is None:
            files = {name: (embedded.folder / name).read_bytes() for name in embedded.card["files"]}
            lineage = {"source": "came with the program"}
            self.add(embedded.card, files, {}, lineage, stage="serving" if empty else "candidate")

    def add(
        self,
        card: Mapping[str, Any],
        files: Mapping[str, bytes],
        evaluations: Mapping[str, Any],
        lineage: Mapping[str, Any],
        *,
        stage: Stage = "candidate",
    ) -> Version:
        """Register a version. Its number and the hashes of its files go into its card.

        Parameters
        ----------
        card
            Without ``version`` and ``files``.
        files
            By name: the weights that the card names, plans, data set, reference.
        """
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        with self._engine.begin() as connection:
            # Begun at once for writing: two that register at the same time wait in turn.
            number = int(connection.scalar(select(func.max(VERSIONS.c.number))) or 0) + 1
            whole = {**card, "version": str(number), "files": hashes}
            card_file = json.dumps(whole, indent=2).encode()
            row = {
                "number": number,
                "stage": stage,
                "created_at": timestamp(),
                "sha256": sha256_of(whole),
                "card_sha256": hashlib.sha256(card_file).hexdigest(),
                "card": card_file.decode(),
                "metrics": json.dumps(evaluations),
                "lineage": json.dumps(lineage),
            }
            for name, content in (*files.items(), (CARD_NAME, card_file)):
                self._storage.write(f"{_FOLDER}/{number}/{name}", content)
            connection.execute(VERSIONS.insert().values(**row))
            if stage == "serving":
                _promoted(connection, number, "installed")
        self._write_record(number)
        logger.info("Model version {} was registered as {}", number, stage)
        return self.get(number)

    def get(self, number: int) -> Version:
        """One version.

        Raises
        ------
        NotFoundError
        """
        with self._engine.begin() as connection:
            return _version(_row(connection, number))

    def find(self) -> list[Version]:
        """All versions, the newest first."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(VERSIONS).order_by(VERSIONS.c.number.desc()))
            return [_version(row) for row in rows]

    def serving(self) -> Version:
        """The version in service.

        Raises
        ------
        NotFoundError
            `prepare` has not been called.
        """
        with self._engine.begin() as connection:
            row = connection.execute(
                select(VERSIONS).where(VERSIONS.c.stage == "serving")
            ).one_or_none()
        if row is None:
            raise NotFoundError("No model version is in service")
        return _version(row)

    def previous(self) -> int | None:
        """The version that `roll_back` would put into service."""
        with self._engine.begin() as connection:
            return _previous(connection)

    @contextmanager
    def open(self, number: int) -> Iterator[Model]:
        """A version's verified files, for as long as the block lasts.

        Raises
        ------
        ModelError
            A file is not the one that was registered.
        NotFoundError, StorageError
        """
        with self._engine.begin() as connection:
            row = _row(connection, number)
        with self._storage.local(f"{_FOLDER}/{number}") as folder:
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
        """What a version was trained on: ``content_sha256`` and ``features`` of each case."""
        with self.open(number) as model:
            return reference_of(model)

    def reference_features(self, number: int) -> list[Values]:
        """The drift features of the cases that a version was trained on."""
        return [case["features"] for case in self.reference(number) if not case["inherited"]]

    def add_evaluation(self, number: int, key: str, evaluation: dict[str, Any]) -> None:
        """Keep a version's figures on a test set, in place of older ones on the same."""
        with self._engine.begin() as connection:
            row = _row(connection, number)
            metrics = json.loads(row.metrics) | {key: evaluation}
            _set(connection, number, metrics=json.dumps(metrics))
        self._write_record(number)

    def promote(self, number: int) -> None:
        """Put a version into service; the one that served is retired.

        Raises
        ------
        ConflictError
            It serves already.
        NotFoundError
        """
        self._put_into_service(number, "promoted")

    def roll_back(self, number: int) -> None:
        """Put the version into service that served before this one.

        Parameters
        ----------
        number
            What `previous` said.

        Raises
        ------
        ConflictError
            It is no longer that one: someone else was faster.
        """
        self._put_into_service(number, "rolled back")

    def history(self) -> list[tuple[str, int, str]]:
        """What was put into service when: time, version, action; the newest first."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(PROMOTIONS).order_by(PROMOTIONS.c.id.desc()))
            return [(row.at, row.number, row.action) for row in rows]

    def _put_into_service(self, number: int, action: Literal["promoted", "rolled back"]) -> None:
        with self._engine.begin() as connection:
            if _row(connection, number).stage == "serving":
                raise ConflictError(f"Version {number} is in service already")
            if action == "rolled back" and _previous(connection) != number:
                raise ConflictError(
                    f"Version {number} is not the one that served before this one",
                    "Look at the Models page again.",
                )
            before = connection.scalar(
                select(VERSIONS.c.number).where(VERSIONS.c.stage == "serving")
            )
            if before is not None:
                _set(connection, before, stage="retired")
            _set(connection, number, stage="serving")
            _promoted(connection, number, action)
        for changed in (before, number):
            if changed is not None:
                self._write_record(changed)
        logger.info("Model version {} was {} into service", number, action)

    def _write_record(self, number: int) -> None:
        with self._engine.begin() as connection:
            record = dict(_row(connection, number)._mapping)
        self._storage.write(f"{_FOLDER}/{number}/{_RECORD}", json.dumps(record).encode())

    def _adopt(self) -> bool:
        """Take in the versions of a bucket that another database knew."""
        records = []
        for name in self._storage.folders(_FOLDER):
            try:
                records.append(json.loads(self._storage.read(f"{_FOLDER}/{name}/{_RECORD}")))
            except NotFoundError:  # its registration never came to its end
                continue
        with self._engine.begin() as connection:
            for record in records:
                connection.execute(VERSIONS.insert().values(**record))
            serving = [r["number"] for r in records if r["stage"] == "serving"]
            for number in serving[:1]:
                _promoted(connection, number, "adopted")
        return bool(records)


def reference_of(model: Model) -> list[dict[str, Any]]:
    """What a model was trained on; see `Registry.reference`."""
    if REFERENCE_NAME not in model.card["files"]:
        return []
    return list(model.json(REFERENCE_NAME)["cases"])


def _row(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(select(VERSIONS).where(VERSIONS.c.number == number)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no model version {number}", "See the Models page.")
    return row


def _version(row: Row[Any]) -> Version:
    return Version(
        row.number, row.stage, row.created_at, row.sha256,
        json.loads(row.card), json.loads(row.metrics), json.loads(row.lineage),
    )  # fmt: skip


def _set(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(VERSIONS.update().where(VERSIONS.c.number == number).values(**values))


def _promoted(connection: Connection, number: int, action: str) -> None:
    connection.execute(PROMOTIONS.insert().values(at=timestamp(), number=number, action=action))


def _previous(connection: Connection) -> int | None:
    """Promotions pile up, roll backs take the top away: what lies below the top."""
    pile: list[int] = []
    for row in connection.execute(select(PROMOTIONS).order_by(PROMOTIONS.c.id)):
        if row.action == "rolled back" and len(pile) > 1:
            pile.pop()
        else:
            pile.append(row.number)
    return pile[-2] if len(pile) > 1 else None
