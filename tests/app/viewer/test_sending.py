"""What is sent of a case while others make it leave the disk."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from app.http import viewer_files
from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.http.visitor import COOKIE, token_of
from app.viewer.files import ViewerFiles
from core.limits import MIB
from tests.house import House
from tests.tiny import analysis, number_of

SECRET, WHO = b"s" * 32, "ann"


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """Three cases, and room for none that nobody looks at."""
    monkeypatch.setattr("core.limits.MAX_VIEWER_CACHE_BYTES", 1)
    cases = House(tmp_path).cases
    shared = SimpleNamespace(
        cases=cases, link_secret=SECRET, viewer_files=ViewerFiles(cases, tmp_path / "viewed")
    )
    shared.ids = {number: cases.add(analysis(number), "x").id for number in (1, 2, 3)}
    return shared


def opened(content):
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj)


def test_what_is_sent_is_whole_however_many_look_at_other_cases(shared, tmp_path):
    app = make_api(kinds_of_bodies(MIB, 4, tmp_path), shared)

    def look(number):
        case_id = shared.ids[number]
        link = f"/viewer/cases/{case_id}/{token_of(SECRET, WHO, case_id)}"
        scan, mask, slice_ = (
            client.get(f"{link}/{name}")
            for name in ("scan.nii.gz", "masks/0.nii.gz", "slices/0/0/1.png")
        )
        assert [a.status_code for a in (scan, mask, slice_)] == [200, 200, 200]
        assert opened(scan.content)[0, 0, 0] == number
        assert number_of(opened(mask.content)) == number

    with (
        TestClient(app, cookies={COOKIE: WHO}) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        list(pool.map(look, [1, 2, 3] * 12))


def test_a_file_that_went_before_it_was_sent_is_sent_whole(shared):
    made = viewer_files._sent(shared.viewer_files.scan(shared.ids[2]), Headers())
    shared.viewer_files.forget(shared.ids[2])
    answer = TestClient(made).get("/")
    assert answer.status_code == 200
    assert opened(answer.content)[0, 0, 0] == 2
