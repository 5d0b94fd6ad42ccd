"""What a browser sends of a drawing: for its own case and grid, or nothing is written."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.http.visitor import COOKIE, token_of
from app.viewer.files import ViewerFiles
from app.viewer.runs import RUNS, packed_of
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import InputError
from core.limits import MIB
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import all_orientations, as_bytes, example, reoriented, stream

SECRET, WHO = b"s" * 32, "ann"


@pytest.fixture(scope="module")
def analyses(predictor, tmp_path_factory):
    """Of one scan, and of the same turned: as many voxels in another order."""
    folder = tmp_path_factory.mktemp("in")
    scans = (example(), reoriented(example(), all_orientations()[13]))
    return [analyse(stream(as_bytes(scan)), predictor, folder) for scan in scans]


@pytest.fixture
def house(analyses, tmp_path, monkeypatch):
    engine, storage = connect(tmp_path), LocalStorage(tmp_path / "storage")
    cases = Cases(engine, storage)
    shared = SimpleNamespace(
        cases=cases, corrections=Corrections(engine, storage, cases), link_secret=SECRET,
        viewer_files=ViewerFiles(cases, tmp_path / "viewed"),
    )  # fmt: skip
    ids = [cases.add(analysis, name).id for analysis, name in zip(analyses, "AB", strict=True)]
    with TestClient(
        make_api(kinds_of_bodies(MIB, 4, tmp_path), shared), cookies={COOKIE: WHO}
    ) as client:
        yield SimpleNamespace(client=client, ids=ids, **vars(shared))


def link(case_id: str) -> str:
    return f"/viewer/cases/{case_id}/{token_of(SECRET, WHO, case_id)}"


def about(house, case_id: str) -> dict:
    return house.client.get(f"{link(case_id)}/about/0.json").json()


def drawing(house, case_id: str) -> tuple[np.ndarray, bytes]:
    labels = house.cases.images(case_id).labels.copy()
    labels[1:4, 2:6, 3] = 2
    return labels, gzip.compress(labels.tobytes(order="F"))


def save(house, to: str, packed: bytes, **fields) -> object:
    known = about(house, to)
    form = {"case": known["case"], "grid": known["grid"], "base": 0, "author": "Dr A", **fields}
    return house.client.post(f"{link(to)}/masks", data=form, files={"labels": packed})


def draft(house, to: str, body: bytes, kind="application/gzip", **asked) -> object:
    known = about(house, to)
    query = {"case": known["case"], "grid": known["grid"], "base": 0, **asked}
    return house.client.put(
        f"{link(to)}/draft", params=query, content=body, headers={"Content-Type": kind}
    )


def kept(house, case_id: str, **asked) -> np.ndarray | None:
    answer = house.client.get(f"{link(case_id)}/draft", params=asked)
    if answer.status_code == 204:
        return None
    shape = house.cases.images(case_id).labels.shape
    return np.frombuffer(gzip.decompress(answer.content), np.uint8).reshape(shape, order="F")


def test_a_mask_of_another_case_is_refused_and_nothing_is_written(house):
    a, b = house.ids
    _, packed = drawing(house, a)
    before = [house.cases.mask_file(case_id) for case_id in house.ids]
    for wrong in ({"case": a}, {"grid": about(house, a)["grid"]}, {"grid": "0"}):
        for answer in (
            save(house, b, packed, **wrong),
            draft(house, b, packed, **wrong),
            house.client.post(f"{link(b)}/here", json={
                "case": b, "grid": about(house, b)["grid"], "side": "left",
                "centre_mm": [0, 0, 0], "base": 0, "author": "A", **wrong,
            }),
        ):  # fmt: skip
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (409, "other_case")
            assert "Nothing was saved or overwritten" in error["hint"]
    assert f"drawn on the case {a}, not on {b}" in save(house, b, packed, case=a).text
    answer = house.client.delete(f"{link(b)}/draft", params={"case": a, "drawing": "d1"})
    assert answer.json()["error"]["code"] == "other_case"
    assert [house.cases.mask_file(case_id) for case_id in house.ids] == before
    assert [house.cases.get(case_id).mask_version for case_id in house.ids] == [0, 0]
    assert kept(house, b) is None


def test_a_request_that_names_no_case_is_refused(house):
    a, _ = house.ids
    _, packed = drawing(house, a)
    answer = house.client.post(
        f"{link(a)}/masks", data={"base": 0, "author": "A"}, files={"labels": packed}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_request"


def test_what_was_drawn_on_its_own_case_is_saved(house):
    a, b = house.ids
    for case_id in house.ids:
        labels, packed = drawing(house, case_id)
        assert save(house, case_id, packed).json() == {"version": 1}
        assert np.array_equal(house.cases.images(case_id).labels, labels)
    assert about(house, a)["grid"] != about(house, b)["grid"]
    assert about(house, a)["case"] == a


def test_who_was_overtaken_is_told_the_newest_version_as_a_field(house):
    a, _ = house.ids
    _, packed = drawing(house, a)
    assert save(house, a, packed).status_code == 201
    answer = save(house, a, packed)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["newest"]) == (409, "newer_version", 1)
    assert set(error) == {"code", "message", "hint", "newest"}


def test_each_drawing_of_a_browser_has_its_draft_and_a_save_ends_its_own_alone(house):
    a, _ = house.ids
    labels, packed = drawing(house, a)
    other = np.where(labels == 1, 0, labels)
    draft(house, a, gzip.compress(other.tobytes(order="F")), drawing="two")
    draft(house, a, packed, drawing="one")
    assert np.array_equal(kept(house, a), labels)  # the newest
    assert np.array_equal(kept(house, a, drawing="two"), other)
    assert save(house, a, packed, drawing="one").status_code == 201
    assert np.array_equal(kept(house, a), other)
    draft(house, a, packed, drawing="three", replaces="two")
    assert np.array_equal(kept(house, a, drawing="two"), labels)  # only three is there
    house.client.delete(f"{link(a)}/draft", params={"case": a, "drawing": "three"})
    assert kept(house, a) is None


def test_drafts_of_one_browser_do_not_pile_up(house):
    a, _ = house.ids
    _, packed = drawing(house, a)
    for number in range(7):
        draft(house, a, packed, drawing=f"d{number}")
    answer = house.client.get(f"{link(a)}/draft", params={"drawing": "d0"})
    assert answer.headers["X-Drawing"] == "d6"  # the first are gone
    answer = house.client.get(f"{link(a)}/draft", params={"drawing": "d3"})
    assert answer.headers["X-Drawing"] == "d3"


def in_runs(labels: np.ndarray) -> bytes:
    flat = labels.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts, ends = np.append(0, edges), np.append(edges, flat.size)
    out = bytearray()
    for start, end in zip(starts, ends, strict=True):
        out.append(flat[start])
        count = int(end - start)
        while count > 127:
            out.append(128 + count % 128)
            count //= 128
        out.append(count)
    return bytes(out)


def test_a_page_that_is_closed_sends_its_draft_as_runs(house):
    a, _ = house.ids
    labels, _ = drawing(house, a)
    assert draft(house, a, in_runs(labels), RUNS, drawing="d").status_code == 204
    assert np.array_equal(kept(house, a), labels)
    for bad in (b"\x01", b"\x00\xff", in_runs(labels) + b"\x00\x01", bytes(70_000)):
        answer = draft(house, a, bad, RUNS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_labels")
    assert np.array_equal(kept(house, a), labels)


@given(st.binary(max_size=40), st.integers(0, 200))
def test_runs_are_as_many_voxels_as_the_case_has_or_refused(runs, count):
    try:
        packed = packed_of(runs, count)
    except InputError:
        return
    assert len(gzip.decompress(packed)) == count
