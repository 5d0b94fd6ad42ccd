"""A real PostgreSQL of Debian's package, in a temporary folder, while the tests need it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest

from core.state import database
from tests.server import free_port

_DEBIAN = Path("/usr/lib/postgresql")
_USER, _PASSWORD = "hippo", "p%40ss-word"
# Whose password is in no log: it holds letters that a URL must quote.
PASSWORD = "p@ss-word"
_TEMPLATE = "hippo_template"
_NOBODY = "nobody"


def programs() -> Path | None:
    """The folder of initdb and postgres; None where there is no PostgreSQL."""
    found = sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    here = shutil.which("initdb")
    return Path(here).parent if here else None


@dataclass
class Cluster:
    """A running PostgreSQL."""

    folder: Path
    port: int
    programs: Path
    made: int = 0
    settings: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def url(self, name: str, *, user: str = _USER, password: str = _PASSWORD) -> str:
        """As the setting has it."""
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements as the superuser, on the folder's socket; the last one's rows."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=name, autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self, template: str = "template0") -> str:
        """Make another database; its URL."""
        self.made += 1
        name = f"hippo{self.made}"
        self.run(f"CREATE DATABASE {name} OWNER {_USER} TEMPLATE {template} ENCODING 'UTF8'")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected."""
        self.run(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            str(self.programs / "postgres"), "-D", str(self.folder / "data"),
            "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1",
            *(word for setting in (*_FAST, *self.settings) for word in ("-c", setting)),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody())
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)  # between two looks at a process that starts
            else:
                return

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have it answer nothing meanwhile, and break no connection."""
        assert self.process is not None
        leader = psutil.Process(self.process.pid)
        halted = [leader]
        leader.suspend()  # first: so that it starts no further process
        halted += leader.children(recursive=True)
        for process in halted[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(halted):
                process.resume()

    def stop(self) -> None:
        """End it at once, as a power failure would end its connections."""
        if self.process is not None:
            self.process.send_signal(3)  # SIGQUIT: "immediate shutdown"
            self.process.wait(60)
            self.process = None


# Nothing of a test outlives it; no disk is waited for.
_FAST = (
    "fsync=off", "full_page_writes=off", "max_connections=200",
    "shared_buffers=32MB", "autovacuum=off", "log_min_messages=fatal",
)  # fmt: skip


def _as_nobody() -> dict[str, object]:
    """Who runs it: PostgreSQL does not start as root."""
    return {"user": _NOBODY, "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}


@contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """Start a PostgreSQL, and stop and remove it.

    Parameters
    ----------
    settings
        Further ones, such as ``max_connections=5``.
    """
    found = programs()
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _NOBODY)
        subprocess.run(
            [str(found / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-E", "UTF8",
             "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, **_as_nobody(),
        )  # fmt: skip
        made = Cluster(folder, free_port(), found, settings=settings)
        made.start()
        try:
            made.run(f"CREATE ROLE {_USER} LOGIN PASSWORD '{PASSWORD}'")
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


class Databases:
    """A PostgreSQL database for each data folder: what SQLite does with a file."""

    def __init__(self, started: Cluster) -> None:
        self.cluster = started
        self._made: dict[Path, str] = {}
        made = database.connect(started.folder / "template", url=started.database())
        made.dispose()
        started.run(f"ALTER DATABASE {made.url.database} RENAME TO {_TEMPLATE}")

    @contextmanager
    def instead_of_files(self) -> Iterator[None]:
        """Have ``connect(folder)`` open its PostgreSQL, as if the setting named it."""
        with pytest.MonkeyPatch.context() as patch:
            address: Callable[[Path, str], object] = database._address
            patch.setattr(
                database,
                "_address",
                lambda folder, url: address(folder, url or self._url(folder.resolve())),
            )
            yield

    @contextmanager
    def dropped_after(self) -> Iterator[None]:
        """Drop what was made within."""
        before = set(self._made)
        yield
        gone = set(self._made) - before
        for engine, folder in list(database._FOLDERS.items()):
            if folder.resolve() in gone:
                engine.dispose()
        for folder in gone:
            self.cluster.drop(self._made.pop(folder))

    def _url(self, folder: Path) -> str:
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made[folder] = self.cluster.database(_TEMPLATE)
        return self._made[folder]
