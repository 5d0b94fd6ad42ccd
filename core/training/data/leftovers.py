"""What was made of cases that are gone: copies in data sets and trainings, links of drift features.

It looks at what is there, and not at what was just removed: so whatever was left by a process that
was killed goes at the next look. Figures of versions, reference groups and drift stay; the names of
the cases that they were measured on do not.
"""

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import Engine, select

from core.cases.records import FOLDER as CASES_FOLDER
from core.cases.store import Cases
from core.drift.baseline import KEY as BASELINE
from core.errors import HippoViewError, NotFoundError
from core.pacs.ready import Returns
from core.people.audit import record, recording
from core.settings import RECEIVED
from core.state.database import empty_log, reading
from core.state.storage import Storage, read_many
from core.state.tables import CASES, JOBS, VERSIONS
from core.training.data.dataset import REVIEWED_NAME
from core.training.job_folders import FOLDER as JOBS_FOLDER
from core.training.kept import FOLDER as KEPT_FOLDER
from core.wording import counted

_DATASETS = "datasets"
# What names this installation's cases beside its data sets: the drift's baselines and reference
# groups of cases; and reports, which are many and which nobody changes but this.
_NAMING, _REPORTS = (BASELINE.partition("/")[0], "references"), "reports"
_TEXTS = (".json", ".html")
_ID = re.compile("HV-[0-9A-Z]{6}(?![0-9A-Za-z])")
# Those that end on their day go within an hour; who forgets a patient does not wait for this.
_EVERY_S = 3600.0


class Leftovers:
    """Removes what is left of cases that are gone.

    Parameters
    ----------
    cases, storage, data_dir
    further
        What else is to be emptied, above this module: the viewer's files.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        cases: Cases,
        storage: Storage,
        data_dir: Path,
        further: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cases = cases
        self._engine: Engine = cases.acts.engine
        self._storage = storage
        self._jobs = data_dir / JOBS_FOLDER
        self._returns = Returns(data_dir / RECEIVED)
        self._further = further
        self._clock = clock
        self._due_at = 0.0
        self._in_report: dict[str, frozenset[str]] = {}

    def tick(self) -> None:
        """Sweep if it is due. Never raises."""
        if self._clock() < self._due_at or not self._cases.caretaker.progress.finished:
            return
        self._due_at = self._clock() + _EVERY_S
        try:
            self.purge()
        except HippoViewError as error:
            logger.warning("What is left of removed cases stays for now: {}", error.message)

    def purge(self, forgotten: Collection[str] = ()) -> int:
        """Remove what names a case that is gone; returns how many files and names.

        Which cases were of this installation and are gone is told by the data set of reviewed
        cases, by the drift's baselines and reports, by reference groups, and by what was removed
        since the start: a data set that somebody else made may have names that look alike. Nothing
        is removed before all cases of the storage are known.

        Parameters
        ----------
        forgotten
            Ids of cases that were removed just now.

        Raises
        ------
        StorageError
            It is not all gone: call again.
        """
        if not self._cases.caretaker.progress.finished:
            return 0
        removed_here = self._cases.acts.removed
        with reading(self._engine) as connection:
            present = set(connection.scalars(select(CASES.c.id)))
        present |= set(self._storage.folders(CASES_FOLDER))
        gone = (self._own_names() | set(removed_here) | set(forgotten)) - present
        removed = self._purge_all(gone) if gone else 0
        removed_here -= gone
        for case_id in set(self._returns.cases()) - present:
            self._returns.remove(case_id)
        self._further()
        empty_log(self._engine, now=bool(forgotten))
        if removed:
            logger.info("Left of removed cases, and gone: {}", counted(removed, "trace"))
        return removed

    def _own_names(self) -> set[str]:
        """Ids in what is made of this installation's own cases."""
        prefix = f"{_DATASETS}/{REVIEWED_NAME}"
        keys = self._storage.keys(prefix)
        told = [key for key in keys if key.endswith(".json")]
        told += self._naming(_NAMING)
        texts = (content.decode() for _, content in read_many(self._storage, told) if content)
        named = {case_id for text in (*keys, *texts) for case_id in _ID.findall(text)}
        return named.union(*self._reported())

    def _reported(self) -> list[frozenset[str]]:
        """Ids in each report; one that was read is not read again."""
        keys = self._naming([_REPORTS])
        new = [key for key in keys if key not in self._in_report]
        for key, content in read_many(self._storage, new):
            self._in_report[key] = frozenset(_ID.findall((content or b"").decode()))
        return [self._in_report[key] for key in keys]

    def _purge_all(self, gone: set[str]) -> int:
        # One name for a case wherever it has figures: versions are compared case by case.
        names = {case_id: f"gone-{secrets.token_hex(4)}" for case_id in gone}

        def is_gone(text: str) -> bool:
            return not gone.isdisjoint(_ID.findall(text))

        def renamed(text: str) -> str:
            return _ID.sub(lambda found: names.get(found[0], found[0]), text)

        # The data sets last: they say which cases were of this installation.
        removed = self._purge_versions(renamed) + self._purge_jobs(is_gone)
        removed += self._purge_names(is_gone, renamed)
        for key in self._naming([*_NAMING, _REPORTS]):
            removed += self._rewrite(key, renamed)
        self._in_report = {k: ids for k, ids in self._in_report.items() if gone.isdisjoint(ids)}
        for name in self._storage.folders(_DATASETS):
            keys = self._storage.keys(f"{_DATASETS}/{name}")
            # The files that name cases first: none names a scan that is not there.
            for key in (key for key in keys if key.endswith(".json")):
                removed += self._rewrite(key, lambda text: _without_in(text, is_gone))
            for key in keys:
                if is_gone(key):
                    self._storage.delete(key)
                    removed += 1
        return removed

    def _naming(self, folders: Sequence[str]) -> list[str]:
        """The files of these folders that may name cases by their ids."""
        keys = (key for folder in folders for key in self._storage.keys(folder))
        return [key for key in keys if key.endswith(_TEXTS)]

    def _rewrite(self, key: str, changed: Callable[[str], str]) -> int:
        try:
            before = self._storage.read(key)
        except NotFoundError:  # a group that somebody has just deleted
            return 0
        after = changed(before.decode()).encode()
        if after == before:
            return 0
        self._storage.replace(key, after, before)
        return 1

    def _purge_versions(self, renamed: Callable[[str], str]) -> int:
        """Names of cases in the figures of versions."""
        removed = 0
        with recording(self._engine, needed=False) as connection:
            for row in connection.execute(select(VERSIONS)).all():
                values = {
                    "metrics": renamed(row.metrics), "lineage": renamed(row.lineage)
                }  # fmt: skip
                if values != {"metrics": row.metrics, "lineage": row.lineage}:
                    update = VERSIONS.update().where(VERSIONS.c.number == row.number)
                    connection.execute(update.values(**values, record_behind=1))
                    record(connection, "version", f"version {row.number}", note="names removed")
                    removed += 1
        return removed

    def _purge_names(self, is_gone: Callable[[str], bool], renamed: Callable[[str], str]) -> int:
        """Names of other cases: a scan that was segmented again is named after its case."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(CASES.c.id, CASES.c.name)).all()
        named = [row.id for row in rows if is_gone(row.name)]
        for case_id in named:
            self._cases.acts.update_record(
                case_id, lambda record: {"name": renamed(record["name"])}, act="edit", note="name"
            )
        return len(named)

    def _purge_jobs(self, is_gone: Callable[[str], bool]) -> int:
        """Folders of trainings that have ended: their result is a version."""
        with reading(self._engine) as connection:
            active = select(JOBS.c.uid).where(JOBS.c.state.in_(("queued", "running")))
            busy = set(connection.scalars(active))
        removed = 0
        for folder in self._jobs.iterdir() if self._jobs.is_dir() else ():
            if folder.name in busy or folder.is_symlink():
                continue
            if any(is_gone(path.name) for path in folder.rglob("*")):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed + self._purge_kept(busy, is_gone)

    def _purge_kept(self, busy: Collection[str], is_gone: Callable[[str], bool]) -> int:
        """Checkpoints of trainings that have ended: nnU-Net names cases in them."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(JOBS.c.uid, JOBS.c.spec)).all()
        sets = {row.uid: json.loads(row.spec).get("dataset", "") for row in rows}
        kept = [u for u in self._storage.folders(KEPT_FOLDER) if u in sets and u not in busy]
        names = {sets[uid] for uid in kept}
        keys = {n: self._storage.keys(f"{_DATASETS}/{n}") for n in names if n}
        naming = {
            name for name, of_set in keys.items()
            if any(is_gone(self._storage.read(k).decode()) for k in of_set if k.endswith(".json"))
        }  # fmt: skip
        for uid in (uid for uid in kept if sets[uid] in naming):
            self._storage.delete_folder(f"{KEPT_FOLDER}/{uid}")
        return sum(sets[uid] in naming for uid in kept)


def _without_in(text: str, is_gone: Callable[[str], bool]) -> str:
    """JSON without what names a case that is gone; the text itself where it names none."""
    if not is_gone(text):
        return text
    content = _without(json.loads(text), is_gone)
    if isinstance(content, dict) and "numTraining" in content and "training" in content:
        content["numTraining"] = len(content["training"])
    return json.dumps(content, indent=1) + "\n"


def _without(value: Any, is_gone: Callable[[str], bool]) -> Any:
    if isinstance(value, dict):
        return {
            key: _without(inner, is_gone)
            for key, inner in value.items()
            if not is_gone(key) and not (isinstance(inner, str) and is_gone(inner))
        }
    if isinstance(value, list):
        kept = [item for item in value if not (isinstance(item, str) and is_gone(item))]
        return [_without(item, is_gone) for item in kept]
    return value
