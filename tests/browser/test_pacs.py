"""From the PACS to a case and back, with an Orthanc that dies on either way."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from core.pacs.client import Pacs
from tests.browser.user import User
from tests.orthanc import PASSWORD, USER, Orthanc, ending, running_orthanc
from tests.phantoms import NAME, PATIENT_ID, as_file, phantom_of
from tests.scans import example
from tests.server import Server, running


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("pacs") / "orthanc") as started:
        Pacs(started.url, USER, PASSWORD).send(
            [as_file(d) for d in phantom_of(example()).datasets()]
        )
        yield started


@pytest.fixture(scope="module")
def ward(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose PACS dies once within a series, and once while results are sent to it."""
    with (
        ending(orthanc.url, orthanc.kill, came=50_000) as way_of_series,
        ending(way_of_series, orthanc.kill, sent=20_000) as way,
        running(
            tmp_path_factory.mktemp("ward"), pacs_url=way, pacs_user=USER, pacs_password=PASSWORD
        ) as server,
    ):
        yield server


def test_from_the_pacs_to_a_case_and_back_although_orthanc_dies_on_either_way(
    context: BrowserContext, ward: Server, orthanc: Orthanc
) -> None:
    user = User(context.new_page(), ward.url)
    user.open()
    user.page.get_by_text("From the PACS").click()
    user.page.get_by_label("Patient name").fill("INVENTED^P*")
    user.page.get_by_role("button", name="Search").click()
    user.read("t1_mprage_sag", "35 files")
    user.page.get_by_role("button", name="Fetch and segment").click()
    user.read("The connection to the PACS failed or broke off", "Nothing was kept")
    assert list((ward.data_dir / "incoming").iterdir()) == []
    orthanc.start()
    user.page.get_by_role("button", name="Fetch and segment").click()
    user.see_result("PACS, 35 files")
    expect(user.page.get_by_role("heading", name="2 files")).to_be_visible()
    assert list((ward.data_dir / "incoming").iterdir()) == []
    user.page.get_by_role("button", name="Send to the PACS").click()
    user.read("What arrived is not known", "send again")
    orthanc.start()
    pacs = Pacs(orthanc.url, USER, PASSWORD)
    study = pacs.studies(patient_id=PATIENT_ID)[0].uid
    assert [one.modality for one in pacs.series(study)] == ["MR"]
    user.page.get_by_role("button", name="Send to the PACS").click()
    user.read("Sent: the Segmentation, the structured report and the PDF report")
    assert sorted(one.modality for one in pacs.series(study)) == ["DOC", "MR", "SEG", "SR"]
    log = ward.log.read_text()
    assert not any(word in log for word in (*NAME.split("^"), PATIENT_ID))
