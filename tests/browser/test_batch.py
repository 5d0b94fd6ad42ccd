"""A batch goes on when its page is left, and belongs to its tab."""

import gzip
import re

import httpx
import pytest
from playwright.sync_api import expect

from core.state.database import DATABASE_NAME
from tests.browser.user import LONG, User
from tests.scans import as_bytes, example
from tests.server import running

SCAN = gzip.compress(as_bytes(example()), mtime=0)
FILES = 6


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server of its own, so that its list of cases is these tests' alone."""
    data_dir = tmp_path_factory.mktemp("batch")
    (data_dir / "incoming").mkdir()
    # What a server leaves that was killed while two files waited.
    (data_dir / DATABASE_NAME).touch()
    for name in ("waiting-a", "waiting-b"):
        (data_dir / "incoming" / name).write_bytes(SCAN)
    with running(data_dir) as started:
        yield started


@pytest.mark.long
def test_files_that_a_restart_lost_are_told(context, site):
    visitor = User(context.new_page(), site.url)
    visitor.open()
    visitor.read("The server was started again at", "2 files that waited to be segmented")
    assert list((site.data_dir / "incoming").iterdir()) == []


def test_a_batch_goes_on_when_its_page_is_left_and_two_tabs_keep_apart(context, site):
    tabs = {name: User(context.new_page(), site.url) for name in ("alpha", "beta")}
    for person in tabs.values():
        person.open()
    for name, person in tabs.items():
        person.upload(*[(f"{name}{i}.nii.gz", SCAN) for i in range(FILES)])
        # As soon as the page has them; most of them still wait then.
        expect(person.page.get_by_text(re.compile(rf"\d+ of {FILES} done"))).to_be_visible()
        person.page.get_by_test_id("stSidebar").get_by_role("link", name="Cases").click()
    for name, person in tabs.items():
        person.page.get_by_test_id("stSidebar").get_by_role("link", name="Segment").click()
        expect(person.page.get_by_role("heading", name=f"{FILES} files")).to_be_visible(
            timeout=LONG
        )
        person.see_result(f"{name}{FILES - 1}")
        foreign = "beta" if name == "alpha" else "alpha"
        assert foreign not in person.text()
    person = tabs["alpha"]
    person.go("Cases")
    person.read(f"{2 * FILES} cases")
    assert list((site.data_dir / "incoming").iterdir()) == []
    assert httpx.get(f"{site.url}/api/health").json()["waiting"] == 0
