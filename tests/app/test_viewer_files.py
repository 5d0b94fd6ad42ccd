"""What the viewer fetches, whatever the order of the file's axes."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import nibabel as nib
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app.http.viewer_files import _sent
from app.viewer.files import ViewerFile, ViewerFiles
from core.anatomy import NOTICE
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.errors import InputError
from core.people.acting import Actor, acting_as
from core.pipeline import analyse
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.scans import all_orientations, as_bytes, example, orders, reoriented, stream
from tests.tiny import analysis


@pytest.fixture
def cases(tmp_path) -> Cases:
    return Cases(connect(tmp_path), LocalStorage(tmp_path / "storage"))


def test_a_reader_who_opens_a_scan_leaves_other_groups_files_alone(cases, tmp_path):
    files = ViewerFiles(cases, tmp_path / "viewed")
    case_ids = [cases.add(analysis(7), "x", owners=f" {group} ").id for group in ("a1", "b2")]
    for case_id, group in zip(case_ids, ("a1", "b2"), strict=True):
        with acting_as(Actor(group, group, "reader", frozenset({group}))):
            files.scan(case_id).file.close()
    assert files.kept.case_ids() == sorted(case_ids)
    cases.delete(case_ids[0])
    files.forget_gone()
    assert files.kept.case_ids() == [case_ids[1]]


def opened(made: ViewerFile) -> nib.Nifti1Image:
    with made.file as file:
        return nib.Nifti1Image.from_bytes(gzip.decompress(file.read()))


@pytest.mark.parametrize("number", orders())
def test_the_browser_gets_one_and_the_same_scan_however_the_file_is_turned(
    number, predictor, cases, tmp_path
):
    scan = reoriented(example(), all_orientations()[number])
    case = cases.add(analyse(stream(as_bytes(scan)), predictor, tmp_path), "x")
    files = ViewerFiles(cases, tmp_path / "viewed")
    upright = nib.as_closest_canonical(example())
    seen = opened(files.scan(case.id))
    assert np.array_equal(np.asarray(seen.dataobj), np.asarray(upright.dataobj, np.float32))
    assert np.allclose(seen.affine, upright.affine, atol=1e-4)

    own = nib.Nifti1Image.from_bytes(gzip.decompress(cases.mask_file(case.id)))
    mask = opened(files.mask(case.id, 0))
    assert np.array_equal(
        np.asarray(mask.dataobj), np.asarray(nib.as_closest_canonical(own).dataobj)
    )
    assert np.allclose(mask.affine, seen.affine)


def test_the_viewer_knows_that_what_it_counts_is_too_small(predictor, cases, tmp_path):
    files = ViewerFiles(cases, tmp_path / "viewed")
    for scan, words in (
        (example(), ""),
        (example().slicer[:, :, 12:], "the image ends within it (behind, below)"),
    ):  # fmt: skip
        case = cases.add(analyse(stream(as_bytes(scan)), predictor, tmp_path), "x")
        assert files.about(case.id, 0)["too_small"] == words


def test_what_is_said_of_a_case_fits_its_files(predictor, cases, tmp_path):
    case = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x")
    files = ViewerFiles(cases, tmp_path / "viewed")
    about = files.about(case.id, 0)
    scan = opened(files.scan(case.id))
    values = np.asarray(scan.dataobj)
    assert about["shape"] == list(scan.shape)
    assert np.allclose(about["affine"], scan.affine)
    assert about["notice"] == NOTICE
    windows = {window["name"]: window for window in about["windows"]}
    assert np.isclose(windows["2 to 98 %"]["low"], np.percentile(values, 2))
    assert np.isclose(windows["all values"]["high"], values.max())
    labels = np.asarray(opened(files.mask(case.id, 0)).dataobj)
    for finding in about["findings"]:
        assert labels[tuple(finding["voxel"])] > 0


@pytest.fixture
def reduced(monkeypatch) -> None:
    """As if a crop were more than a browser draws."""
    monkeypatch.setattr("core.limits.MAX_VIEWER_VOXELS", 20_000)


def test_a_large_scan_is_reduced_and_says_so(predictor, cases, tmp_path, reduced):
    case = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x")
    files = ViewerFiles(cases, tmp_path / "viewed")
    about = files.about(case.id, 0)
    scan, mask = (
        opened(files.scan(case.id)),
        opened(files.mask(case.id, 0)),
    )
    assert scan.shape == mask.shape == tuple(about["shape"]) != example().shape
    assert np.prod(scan.shape) <= 20_000
    assert "35 x 50 x 35" in about["reduced"]
    for said in ("0.1 million", "up to 0 million", "cannot be corrected here: cut the neck"):
        assert said in about["reduced"]
    # Each voxel lies where its block does, in mm.
    whole = nib.as_closest_canonical(example())
    at = np.array(np.unravel_index(np.asarray(scan.dataobj).argmax(), scan.shape))
    place = nib.affines.apply_affine(np.linalg.inv(whole.affine) @ scan.affine, at)
    x, y, z = (slice(int(np.floor(c)), int(np.ceil(c)) + 1) for c in place)
    near = np.asarray(whole.dataobj)[x, y, z]
    assert near.min() <= np.asarray(scan.dataobj).max() <= near.max()
    for finding in about["findings"]:
        assert np.asarray(mask.dataobj)[tuple(finding["voxel"])] >= 0
    assert files.picture(case.id, 0, 1, about["shape"][1] - 1, "radiological", 0.5)


def test_labels_of_the_reduced_grid_are_never_saved(predictor, cases, tmp_path, reduced):
    case = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x")
    files = ViewerFiles(cases, tmp_path / "viewed")
    drawn = np.ones(files.about(case.id, 0)["shape"], np.uint8)
    corrections = Corrections(connect(tmp_path), LocalStorage(tmp_path / "storage"), cases)
    with pytest.raises(InputError, match="do not fit"):
        corrections.save(
            case.id, gzip.compress(drawn.tobytes(order="F")), base=0, author="A", comment=""
        )
    assert cases.get(case.id).mask_version == 0


def test_what_is_kept_goes_with_its_case_and_at_the_start(predictor, cases, tmp_path):
    folder = tmp_path / "viewed"
    files = ViewerFiles(cases, folder)
    ids = [
        cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x").id
        for _ in range(3)
    ]
    for case_id in ids[:2]:
        files.scan(case_id).file.close()
    assert folder.stat().st_mode & 0o077 == 0
    files.forget(ids[0])
    assert [p.name for p in folder.iterdir()] == [ids[1]]
    cases.delete(ids[1])  # by another process
    files.scan(ids[2]).file.close()
    assert [p.name for p in folder.iterdir()] == [ids[2]]
    ViewerFiles(cases, folder)
    assert list(folder.iterdir()) == []


def test_the_oldest_make_room(predictor, cases, tmp_path, monkeypatch):
    monkeypatch.setattr("core.limits.MAX_VIEWER_CACHE_BYTES", 1_000_000)
    folder = tmp_path / "viewed"
    files = ViewerFiles(cases, folder)
    analysis = analyse(stream(as_bytes(example())), predictor, tmp_path)
    ids = [cases.add(analysis, "x").id for _ in range(5)]
    for case_id in ids:
        files.scan(case_id).file.close()
        files.images(ids[0], 0)  # looked at again and again
        assert sum(p.stat().st_size for p in folder.glob("*/*")) <= 1_000_000
    assert {ids[0], ids[-1]} <= {p.name for p in folder.iterdir()} < set(ids)


def test_many_at_once_make_each_file_once(predictor, cases, tmp_path, monkeypatch):
    case = cases.add(analyse(stream(as_bytes(example())), predictor, tmp_path), "x")
    files = ViewerFiles(cases, tmp_path / "viewed")
    reads = []
    read = cases.image_file
    monkeypatch.setattr(cases, "image_file", lambda case_id: reads.append(1) or read(case_id))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: (files.scan(case.id), files.mask(case.id, 0)), range(24)))
    assert len(reads) == 1
    assert len({scan.etag for scan, _ in found}) == 1
    for file in chain(*found):
        file.file.close()


def test_the_browser_may_ask_for_a_part_and_for_what_it_has(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(bytes(range(100)))

    def answer(request: Request) -> Response:
        file = ViewerFile((tmp_path / "scan.nii.gz").open("rb"), '"a"')
        return _sent(file, request.headers)

    client = TestClient(Starlette(routes=[Route("/", answer)]))
    whole = client.get("/")
    assert (whole.status_code, whole.content) == (200, bytes(range(100)))
    assert whole.headers["cache-control"] == "private, no-cache"  # it asks each time
    again = client.get("/", headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get("/", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert client.get("/", headers={"Range": "bytes=90-"}).content == bytes(range(90, 100))
    assert client.get("/", headers={"Range": "bytes=999-"}).status_code == 416
