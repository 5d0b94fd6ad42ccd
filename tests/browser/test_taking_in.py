"""A server whose storage is slow answers at once, and says how far it is with its cases."""

import json
import sys
import urllib.request

import pytest
from playwright.sync_api import expect

from core.cases.store import Cases
from core.pipeline import analyse
from core.settings import ROOT
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.browser.user import User
from tests.scans import as_bytes, example, stream
from tests.server import running
from tests.waiting import until

CASES = 5
# Python, but no record of a case is read before a file is there. A case's own is read on demand.
_SLOW = f"""#!{sys.executable}
import sys, threading
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from core.state import storage
read = storage.LocalStorage.read
def slow(self, key):
    pause = threading.Event()
    while key.endswith("record.json") and threading.current_thread().name.startswith("storage"):
        if Path({{gate!r}}).exists():
            break
        pause.wait(0.1)
    return read(self, key)
storage.LocalStorage.read = slow
from app.__main__ import main
sys.exit(main(sys.argv[sys.argv.index("app") + 1:]))
"""


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.fixture
def slow(tmp_path, gate, predictor):
    """A server that lost its database, on a storage that does not read yet."""
    storage = LocalStorage(tmp_path / "var" / "storage")
    engine = connect(tmp_path / "lost")
    scan = analyse(stream(as_bytes(example())), predictor, tmp_path)
    ids = [Cases(engine, storage).add(scan, f"case {number}").id for number in range(CASES)]
    engine.dispose()
    python = tmp_path / "python"
    python.write_text(_SLOW.replace("{gate!r}", repr(str(gate))))
    python.chmod(0o755)
    with running(tmp_path / "var", python=str(python)) as server:
        yield server, ids


def health(server):
    with urllib.request.urlopen(f"{server.url}/api/health", timeout=30) as answer:
        return json.load(answer)


@pytest.mark.long
def test_a_server_answers_before_it_has_taken_in_its_cases(slow, gate, context):
    server, ids = slow
    seen = health(server)
    assert seen["ready"]
    assert seen["cases"]["state"] == "taking in"
    assert (seen["cases"]["taken_in"], seen["cases"]["in_storage"]) == (0, CASES)
    user = User(context.new_page(), server.url)
    user.open(f"/cases?case={ids[2]}")  # before its turn
    expect(user.page.get_by_role("heading", name="case 2")).to_be_visible()
    so_far = f"still being taken in from the storage (0 of {CASES})"
    expect(user.page.get_by_text(so_far)).to_be_visible()
    gate.touch()
    expect(user.page.get_by_text("still being taken in")).to_have_count(0)  # without a click
    user.show_list()
    expect(user.page.get_by_text(f"{CASES} cases.")).to_be_visible()
    assert until(lambda: health(server)["cases"]["state"] == "ready", 30)
    assert user.strangers == []
