"""The API of a real server in a process of its own."""

import gzip
import itertools
import json
import re
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from core.pipeline import analyse
from core.state.database import DATABASE_NAME
from tests.scans import as_bytes, example, image, noise, stream, template_head
from tests.server import Server, running

SCAN = gzip.compress(as_bytes(example()), mtime=0)
TIMEOUT_S = 120
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.nii"\r\n\r\n'


@pytest.fixture(scope="module")
def client(server: Server):
    with httpx.Client(base_url=f"{server.url}/api", timeout=TIMEOUT_S) as opened:
        yield opened


def send(client: httpx.Client, content: bytes, **options) -> httpx.Response:
    return client.post("/predict", files={"image": ("DOE_JANE.nii.gz", content)}, **options)


def labels(mask: bytes) -> np.ndarray:
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(mask)).dataobj)


def dice(a: np.ndarray, b: np.ndarray, label: int) -> float:
    a, b = a == label, b == label
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_health_says_what_serves(client):
    body = client.get("/health").json()
    assert body["status"] == "ok"
    assert body["ready"] is True
    assert body["model"]["version"] == "1"
    assert len(body["model"]["sha256"]) == 64
    assert body["model"]["configuration"] == "3d_cpu"
    assert body["model"]["labels"] == {"anterior": 1, "posterior": 2}
    assert body["device"] in ("cpu", "cuda")
    assert body["backend"] == "openvino"


def test_predict_gives_the_mask_with_its_measures_in_the_headers(client, predictor, tmp_path):
    answer = send(client, SCAN, params={"device": "cpu"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/gzip"
    mask = labels(answer.content)
    assert float(answer.headers["x-anterior-mm3"]) == (mask == 1).sum()
    assert float(answer.headers["x-posterior-mm3"]) == (mask == 2).sum()
    assert answer.headers["x-model-version"] == "1"
    assert answer.headers["x-warnings"] == ""
    assert answer.headers["x-kept"] == "nothing"
    assert "Not for diagnosis" in answer.headers["x-notice"]
    assert answer.content == analyse(stream(SCAN), predictor, tmp_path).mask_file


def test_predict_gives_the_measures_as_json_when_asked(client):
    answer = send(client, SCAN, headers={"Accept": "application/json"})
    body = answer.json()
    assert body["measures"]["side"] == "side unknown on a crop"
    assert body["kept"] == {"kept": "nothing", "days": None}
    assert body["measures"]["total"]["volume_mm3"] > 1000
    assert body["notice"] == "Research use only. Not for diagnosis."
    expected = body["trust"]["expected_dice"]
    header = answer.headers.get("x-expected-dice")
    assert header == (expected and f"{expected['whole']:.2f}")
    assert (expected is None) == (body["measures"]["total"]["volume_interval_mm3"] is None)
    assert (expected is None) == bool(body["trust"]["reason"])


def test_warnings_stand_in_the_header(client):
    narrow = as_bytes(image(np.asarray(example().dataobj)[:, :, 12:], example().affine))
    headers = send(client, narrow).headers
    assert "touches_border" in headers["x-warnings"].split(",")
    assert headers["x-volume-remark"].startswith("too small: the image ends within it (")
    assert "x-volume-remark" not in send(client, SCAN).headers


def test_twenty_real_cases_reach_a_dice_of_088(client, task04):
    """The model saw these cases in training: this checks the plumbing, not the model."""
    scores = []
    for path in task04[::11][:20]:
        mask = labels(send(client, path.read_bytes()).content)
        truth = np.asarray(nib.load(str(path).replace("imagesTr", "labelsTr")).dataobj)
        scores.append((dice(mask, truth, 1), dice(mask, truth, 2)))
    anterior, posterior = np.mean(scores, axis=0)
    print(f"Dice on 20 cases seen in training: {anterior:.4f} / {posterior:.4f}")
    assert len(scores) == 20
    assert anterior >= 0.88
    assert posterior >= 0.88


def test_real_files_that_are_no_crop_get_their_reason(client, shared_data):
    for file, code in (
        ("dirty/label_without_image_010.nii.gz", "label_map"),
        ("Task04_Hippocampus/imagesTr/._hippocampus_001.nii.gz", "not_nifti"),
    ):
        answer = send(client, (shared_data / file).read_bytes())
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == code


def test_a_whole_head_gives_both_sides(client):
    head = gzip.compress(as_bytes(template_head()))
    answer = send(client, head)
    assert answer.status_code == 200
    assert answer.headers["X-Confidence"] == "high"
    left, right = (float(answer.headers[f"X-{side}-Mm3"]) for side in ("Left", "Right"))
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    parts = np.asarray(mask.dataobj)
    assert np.count_nonzero(parts) == pytest.approx(left + right)
    by_side = client.post("/predict?labels=sides", files={"image": ("a.nii.gz", head)})
    values = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(by_side.content)).dataobj)
    assert set(np.unique(values)) == {0, 1, 2, 3, 4}
    assert np.array_equal(np.where(values > 2, values - 2, values), parts)
    x_mm = nib.affines.apply_affine(mask.affine, np.argwhere(values > 0))[:, 0]
    assert np.array_equal(x_mm < 0, values[values > 0] <= 2)  # left is where RAS is negative
    assert np.count_nonzero((values == 1) | (values == 2)) == pytest.approx(left)

    record = client.post(
        "/predict", files={"image": ("a.nii.gz", head)}, headers={"Accept": "application/json"}
    ).json()
    assert set(record["head"]["sides"]) == {"left", "right"}
    assert record["measures"]["sides"]["left"]["total"]["volume_mm3"] == pytest.approx(left)
    index = record["measures"]["asymmetry_percent"]
    assert index == pytest.approx(100 * (left - right) / ((left + right) / 2))


def test_the_sides_of_a_crop_are_not_made_up(client):
    answer = client.post("/predict?labels=sides", files={"image": ("a.nii", SCAN)})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "no_sides"


def assert_shape(answer: httpx.Response) -> None:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert all(isinstance(v, str) and v for v in body["error"].values())
    assert not re.search(r"Traceback|/(work|tmp|root|home|usr)/|\.py\b", answer.text)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("GET", "/predict", {}, 405, "method_not_allowed"),
        ("POST", "/predict", {}, 422, "bad_request"),
        ("POST", "/predict", {"content": b"\xff" * 100}, 422, "bad_request"),
        ("POST", "/predict", {"files": {"file": b"x"}}, 422, "bad_request"),
        ("POST", "/predict", {"data": {"image": "text"}}, 422, "bad_request"),
        ("POST", "/predict", {"files": {"image": b""}}, 422, "empty_file"),
        ("POST", "/predict", {"files": {"image": b"x" * 500}}, 422, "not_nifti"),
        ("POST", "/predict?device=tpu", {"files": {"image": SCAN}}, 422, "bad_request"),
        ("DELETE", "/health", {}, 405, "method_not_allowed"),
    ],
)
def test_every_error_has_one_shape(method, path, options, status, code, client):
    answer = client.request(method, path, **options)
    assert answer.status_code == status
    assert_shape(answer)
    assert answer.json()["error"]["code"] == code


def test_every_route_answers_nonsense_in_the_one_shape(client):
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {m.upper() for m in methods}:
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert_shape(answer)


def test_a_missing_gpu_is_said(client):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    answer = send(client, SCAN, params={"device": "cuda"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "device_unavailable"


def test_the_interactive_page_needs_no_network(client):
    page = client.get("/docs").text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith("/api/")
        assert client.get(address.removeprefix("/api")).status_code == 200


def test_metrics_count_what_was_done(client):
    def value(name: str) -> float:
        text = client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    done = 'hippoview_scans_total{origin="api",outcome="segmented"}'
    refused = 'hippoview_scans_total{origin="api",outcome="refused"}'
    before = value(done), value(refused)
    send(client, SCAN)
    send(client, b"nonsense")
    assert (value(done), value(refused)) == (before[0] + 1, before[1] + 1)
    assert value("hippoview_ready") == 1
    assert value('hippoview_step_seconds_count{step="segment"}') >= 1


def test_answers_to_many_at_once_are_never_swapped(client, task04):
    scans = [path.read_bytes() for path in task04[:4]]
    alone = [send(client, scan).content for scan in scans]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda scan: send(client, scan).content, scans * 2))
    assert together == alone * 2


def test_a_client_that_leaves_does_not_stop_the_next(client, server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
    assert send(client, SCAN).status_code == 200


def test_nothing_is_left_and_no_name_is_logged(client, server):
    send(client, SCAN)
    send(client, b"nonsense")
    assert list((server.data_dir / "incoming").iterdir()) == []
    assert "DOE" not in server.log.read_text()


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("narrow")
    with running(folder, max_upload_mib="1", queue_size="1") as started:
        yield started


@pytest.mark.long
def test_a_file_over_the_limit_gets_413(narrow_server):
    content = noise((80, 80, 80)).tobytes()
    with httpx.Client(base_url=f"{narrow_server.url}/api", timeout=TIMEOUT_S) as client:
        declared = send(client, content)
        streamed = client.post(
            "/predict",
            content=itertools.chain([PART], itertools.repeat(bytes(70_000), 30)),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        for answer in (declared, streamed):
            assert answer.status_code == 413
            assert_shape(answer)
            assert answer.json()["error"]["code"] == "too_large"
        assert send(client, SCAN).status_code == 200


def test_a_full_queue_answers_503_with_a_time_and_loses_nothing(narrow_server):
    with httpx.Client(base_url=f"{narrow_server.url}/api", timeout=TIMEOUT_S) as client:
        expected = send(client, SCAN).content
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: send(client, SCAN), range(8)))
        statuses = sorted(a.status_code for a in answers)
        assert statuses[0] == 200
        assert statuses[-1] == 503
        for answer in answers:
            if answer.status_code == 503:
                assert_shape(answer)
                assert answer.json()["error"]["code"] == "busy"
                assert int(answer.headers["retry-after"]) >= 1
            else:
                assert answer.content == expected
        assert send(client, SCAN).status_code == 200


def test_a_server_without_a_model_says_so_and_is_alive(tmp_path):
    empty = tmp_path / "model"
    empty.mkdir()
    with (
        running(tmp_path / "var", wait_ready=False, model_dir=str(empty)) as started,
        httpx.Client(base_url=f"{started.url}/api", timeout=TIMEOUT_S) as client,
    ):
        while (answer := client.get("/health")).json()["status"] == "loading":
            pass
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert answer.json()["error"]["code"] == "model_unavailable"
        refused = send(client, SCAN)
        assert refused.status_code == 503
        assert_shape(refused)
        assert "Retry-After" in refused.headers
        assert json.loads(refused.text)["error"]["code"] == "model_unavailable"
        (tmp_path / "var" / "storage").rename(tmp_path / "gone")
        with closing(sqlite3.connect(tmp_path / "var" / DATABASE_NAME, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            # The database waits for its lock for 30 s: a probe does not.
            assert client.get("/live", timeout=10).json() == {"status": "alive"}
