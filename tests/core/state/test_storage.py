import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.cloud.storage import Blob

from core.cases.store import Cases
from core.errors import ChangedError, ConflictError, NotFoundError, StorageError
from core.models.folder import load_model
from core.models.registry import Registry
from core.pipeline import analyse
from core.settings import ROOT, Settings
from core.state.bucket import BucketStorage
from core.state.database import connect
from core.state.storage import LocalStorage, open_storage, read_many
from core.training.data.prepare import prepare
from tests.buckets import BUCKET, cutting, emulator, refusing
from tests.datasets import made
from tests.scans import as_bytes, example, stream

URL = f"gs://{BUCKET}/site-a"


@pytest.fixture(scope="module")
def gcs():
    with emulator() as address:
        yield address


@pytest.fixture
def bucket(gcs, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    opened = BucketStorage.open(URL)
    yield opened
    for prefix in ("cases", "models", "datasets", "a"):
        opened.delete_folder(prefix)


@pytest.fixture(params=["local", "bucket"])
def storage(request, tmp_path):
    if request.param == "local":
        return LocalStorage(tmp_path / "storage")
    return request.getfixturevalue("bucket")


def test_what_is_written_is_read(storage):
    storage.write("a/b/one", b"1")
    storage.write("a/b/one", b"2")
    storage.write("a/c/two.nii.gz", bytes(range(256)) * 4000)
    assert storage.read("a/b/one") == b"2"
    assert storage.read("a/c/two.nii.gz") == bytes(range(256)) * 4000
    assert storage.keys("a") == ["a/b/one", "a/c/two.nii.gz"]
    assert storage.folders("a") == ["b", "c"]
    ages = storage.ages_s("a")
    assert sorted(ages) == storage.keys("a")
    assert all(0 <= age < 300 for age in ages.values())
    with storage.local("a") as folder:
        assert (folder / "b" / "one").read_bytes() == b"2"
    storage.delete_folder("a/b")
    storage.delete_folder("a/b")
    assert storage.folders("a") == ["c"]
    with pytest.raises(NotFoundError):
        storage.read("a/b/one")


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/../b", "", "a/.hidden", "a\0b"])
def test_a_key_leads_nowhere_else(key, storage):
    with pytest.raises(ValueError, match="storage key"):
        storage.write(key, b"")
    with pytest.raises(ValueError, match="storage key"):
        storage.read(key)


def test_one_prefix_of_a_bucket_does_not_see_another(bucket, gcs):
    bucket.write("a/one", b"1")
    other = BucketStorage.open(f"gs://{BUCKET}/site-b")
    assert other.keys("a") == []
    root = BucketStorage.open(f"gs://{BUCKET}")
    root.write("a/two", b"2")
    assert root.folders("a") == []
    assert root.keys("a") == ["a/two"]
    root.delete_folder("a")
    assert bucket.read("a/one") == b"1"


def test_of_two_writers_at_once_one_is_told(bucket, monkeypatch):
    bucket.write("a/one", b"first")
    seen = bucket._bucket.get_blob("site-a/a/one")
    bucket.write("a/one", b"second")
    monkeypatch.setattr(bucket._bucket, "get_blob", lambda *a, **k: seen)  # looked too early
    with pytest.raises(StorageError, match="at the same time"):
        bucket.write("a/one", b"third")
    assert bucket.read("a/one") == b"second"


def test_a_file_is_replaced_only_by_who_knows_what_is_there(storage):
    storage.replace("a/one", b"1", None)
    for wrong in (None, b"2", b""):
        with pytest.raises(ChangedError):
            storage.replace("a/one", b"3", wrong)
    storage.replace("a/one", b"2", b"1")
    assert storage.read("a/one") == b"2"
    with pytest.raises(ChangedError):
        storage.replace("a/two", b"1", b"0")
    assert storage.keys("a") == ["a/one"]
    storage.delete("a/one")
    storage.delete("a/one")
    assert storage.keys("a") == []


def test_of_many_who_claim_a_file_at_once_one_gets_it(storage):
    claims = 8
    together = threading.Barrier(claims)

    def claim(number: int) -> bool:
        together.wait()
        try:
            storage.replace("a/one", b"%d" % number, None)
        except ChangedError:
            return False
        return True

    with ThreadPoolExecutor(claims) as pool:
        won = list(pool.map(claim, range(claims)))
    assert won.count(True) == 1
    assert storage.read("a/one") == b"%d" % won.index(True)


def test_an_upload_whose_answer_was_lost_is_not_taken_for_somebody_elses(bucket, monkeypatch):
    upload = Blob.upload_from_string

    def repeated(self, *args, **kwargs):
        upload(self, *args, **kwargs)
        upload(self, *args, **kwargs)

    monkeypatch.setattr(Blob, "upload_from_string", repeated)
    bucket.replace("a/one", b"1", None)
    bucket.replace("a/one", b"2", b"1")
    assert bucket.read("a/one") == b"2"


def test_many_files_are_read_at_once_and_missing_ones_are_told(storage):
    keys = [f"a/{i:03}" for i in range(40)]
    for key in keys[::2]:
        storage.write(key, key.encode())
    read = dict(read_many(storage, keys))
    assert list(read) == keys
    assert read == {k: k.encode() if i % 2 == 0 else None for i, k in enumerate(keys)}


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_connection_cut_in_an_upload_leaves_nothing_half_visible(
    before, bucket, gcs, monkeypatch
):
    if before:
        bucket.write("a/big", before)
    with cutting(gcs, 100_000) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        cut = BucketStorage.open(URL, patience_s=2)
        with pytest.raises(StorageError, match="does not answer"):
            cut.write("a/big", os.urandom(2_000_000))
    if before:
        assert bucket.read("a/big") == before
    else:
        assert bucket.keys("a") == []


@pytest.mark.parametrize(("status", "words"), [(401, "credentials"), (403, "credentials"),
                                               (404, "does not exist")])  # fmt: skip
def test_a_refusal_says_what_to_do(status, words, monkeypatch):
    with refusing(status) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        with pytest.raises(StorageError, match=words) as caught:
            BucketStorage.open(URL)
    assert caught.value.hint


def test_wrong_credentials_stop_the_server_with_a_message_not_a_traceback(tmp_path):
    key = tmp_path / "key.json"
    key.write_text('{"type": "service_account"}')
    environment = {
        **os.environ,
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "HIPPOVIEW_STORAGE": URL,
        "HIPPOVIEW_DATA_DIR": str(tmp_path / "var"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "app", "--port", "1"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "refuses the credentials" in done.stderr
    assert "GOOGLE_APPLICATION_CREDENTIALS" in done.stderr
    assert "Traceback" not in done.stderr


_OPENS = """
import sys
from core.cases.store import Cases
from core.state.database import connect
from core.settings import Settings
from core.state.storage import open_storage
settings = Settings.from_environment()
cases = Cases(connect(settings.data_dir), open_storage(settings))
cases.import_from_storage()
row, = cases.find()
sys.stdout.buffer.write(row.name.encode() + b"\\n" + cases.mask_file(row.id))
"""


def test_a_case_of_one_process_is_opened_by_a_second(bucket, gcs, predictor, tmp_path):
    cases = Cases(connect(tmp_path / "first"), bucket)
    analysis = analyse(stream(as_bytes(example())), predictor, tmp_path)
    case = cases.add(analysis, "from afar")
    environment = {
        **os.environ,
        "STORAGE_EMULATOR_HOST": gcs,
        "HIPPOVIEW_STORAGE": URL,
        "HIPPOVIEW_DATA_DIR": str(tmp_path / "second"),  # it shares nothing but the bucket
    }
    done = subprocess.run(
        [sys.executable, "-c", _OPENS], cwd=ROOT, env=environment, capture_output=True,
        timeout=120, check=True,
    )  # fmt: skip
    name, _, mask = done.stdout.partition(b"\n")
    assert name == b"from afar"
    assert mask == analysis.mask_file == cases.mask_file(case.id)
    again = Cases(connect(tmp_path / "third"), bucket)
    assert again.purge_expired() == 0  # an empty database never empties a bucket
    assert again.import_from_storage() == 1


def test_models_and_data_sets_live_in_a_bucket_too(bucket, tmp_path):
    registry = Registry(connect(tmp_path / "first"), bucket, Settings().model_dir)
    registry.prepare()
    with Registry(connect(tmp_path / "first"), bucket, tmp_path).open_serving() as model:
        assert model.sha256 == load_model(Settings().model_dir).sha256
    other = Registry(connect(tmp_path / "second"), bucket, tmp_path / "no-such-model")
    other.prepare()
    assert [v.number for v in other.find()] == [1]
    assert other.serving().sha256 == model.sha256
    with other.open_serving() as model:
        files = {name: (model.folder / name).read_bytes() for name in model.card["files"]}
        number = other.add(model.card, files, {}, {}).number
    other.promote(number)
    third = Registry(connect(tmp_path / "third"), bucket, tmp_path / "no-such-model")
    third.prepare()
    assert (third.serving().number, third.previous()) == (number, 1)
    third.roll_back(1)
    with pytest.raises(ConflictError):
        other.roll_back(1)  # another server did so
    assert other.serving().number == 1
    dataset, _ = prepare(made(tmp_path / "source", 10), bucket, "one")
    with bucket.local("datasets/one") as folder:
        assert len(list(folder.rglob("*.nii.gz"))) == 2 * len(dataset.cases)


def test_the_setting_chooses_the_storage(gcs, monkeypatch, tmp_path):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    in_bucket = Settings(storage=URL, data_dir=tmp_path)
    assert isinstance(open_storage(in_bucket).inner, BucketStorage)
    assert isinstance(open_storage(Settings(data_dir=tmp_path)).inner, LocalStorage)
