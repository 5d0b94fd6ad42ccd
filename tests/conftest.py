"""What the tests share: real scans, the real model, a real server."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from core.models.folder import opened
from core.pipeline import Analysis, analyse
from core.predictor.predictor import InferenceOptions, Predictor
from core.predictor.service import Predictors
from core.settings import ROOT, Settings
from tests.postgresql import Databases, cluster, programs
from tests.server import Server, running

# In memory, where there is room for all that the tests write (0.7 GiB): what is told to be on the
# disk for good is waited for thousands of times. A kill, unlike a power failure, loses nothing.
_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 4 * 2**30  # noqa: S108
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
    tempfile.tempdir = os.environ["TMPDIR"] = str(_MEMORY)
# The tests drive their own server and command lines; what the shell sets must not leak in.
for variable in [v for v in os.environ if v.startswith("HIPPOVIEW_")]:
    del os.environ[variable]
# A training tests its version on these; with eight of them each training would take half a minute.
os.environ["HIPPOVIEW_TEST_HEADS"] = "1"

# A slow machine is no fault of the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

SHARED = ROOT.parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which database the tests use that open one."""
    parser.addoption(
        "--postgresql", action="store_true", help="a PostgreSQL in the place of each SQLite"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Those marked ``both`` run on SQLite and on PostgreSQL."""
    if metafunc.definition.get_closest_marker("both") and not metafunc.config.getoption(
        "--postgresql"
    ):
        metafunc.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """A PostgreSQL, started once for all tests that ask for it."""
    if programs() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with cluster() as started:
        yield Databases(started)


@pytest.fixture(scope="session", autouse=True)
def all_on_postgresql(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``--postgresql``, no database is a file."""
    if not request.config.getoption("--postgresql"):
        yield
        return
    with request.getfixturevalue("databases").instead_of_files():
        yield


@pytest.fixture(autouse=True)
def database_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """``sqlite`` or ``postgresql``: what this test's databases are."""
    if request.config.getoption("--postgresql"):
        _skip_if_about_sqlite(request.node)
        with request.getfixturevalue("databases").dropped_after():
            yield "postgresql"
    elif getattr(request, "param", "") == "postgresql":
        _skip_if_about_sqlite(request.node)
        databases = request.getfixturevalue("databases")
        with databases.instead_of_files(), databases.dropped_after():
            yield "postgresql"
    else:
        yield "sqlite"


def _skip_if_about_sqlite(node: pytest.Item) -> None:
    if node.get_closest_marker("sqlite"):
        pytest.skip("it is about SQLite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of browser tests and other files by turns.

    Two processes take file after file. So one of them mostly waits for a browser while the other
    computes, and the longest files do not all come last.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    browser = [path for path in files if path.parent.name == "browser"]
    others = [path for path in files if path not in browser]
    every = len(others) // max(1, len(browser))
    order = []
    for number, path in enumerate(browser):
        order += [path, *others[number * every : (number + 1) * every]]
    order += others[len(browser) * every :]
    items[:] = [item for path in order for item in files[path]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real cases that may not be in the project (the README of that folder says why)."""
    if not SHARED.is_dir():
        pytest.skip("no real cases here: ../shared/data is missing")
    return SHARED


@pytest.fixture(scope="session")
def task04(shared_data: Path) -> list[Path]:
    """Scans of the Decathlon's Task04."""
    folder = shared_data / "Task04_Hippocampus" / "imagesTr"
    return sorted(p for p in folder.glob("hippocampus_*.nii.gz"))


@pytest.fixture(scope="session")
def predictor() -> Iterator[Predictor]:
    """The embedded model, loaded once for all tests."""
    predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 16)
    yield predictors.on("auto")
    predictors.close()


@pytest.fixture(scope="session")
def segmented(
    predictor: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[nib.Nifti1Image], Analysis]:
    """A scan as a page or the API analyses it."""
    folder = tmp_path_factory.mktemp("segmented")
    return lambda scan: analyse(io.BytesIO(scan.to_bytes()), predictor, folder)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as a user starts it, on a data folder of its own."""
    with running(tmp_path_factory.mktemp("var")) as started:
        yield started


@pytest.fixture(scope="session")
def windows(task04: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every eleventh real case, as it is and blurred by 0.7 mm."""
    folders = {}
    for kind, sigma in (("plain", 0), ("blurred", 0.7)):
        folders[kind] = tmp_path_factory.mktemp(kind)
        for path in task04[::11]:
            scan = nib.load(path)
            data = ndimage.gaussian_filter(np.asarray(scan.dataobj, np.float32), sigma)
            nib.save(nib.Nifti1Image(data, scan.affine), folders[kind] / path.name)
    return folders
