import gc
import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from core.errors import ConflictError, ModelError, NotFoundError
from core.models.folder import load_model, opened
from core.models.registry import Registry
from core.pipeline import analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import Settings
from core.state.database import DATABASE_NAME, connect
from core.state.storage import LocalStorage
from tests.scans import as_bytes, example, stream
from tests.waiting import until

EMBEDDED = Settings().model_dir


def registry_in(folder, embedded=EMBEDDED) -> Registry:
    made = Registry(connect(folder), LocalStorage(folder / "storage"), embedded)
    made.prepare()
    return made


@pytest.fixture
def registry(tmp_path):
    return registry_in(tmp_path)


def candidate(registry, note="x"):
    """The embedded model once more, with another summary: another version."""
    model = load_model(EMBEDDED)
    files = {name: (EMBEDDED / name).read_bytes() for name in model.card["files"]}
    return registry.add(model.card | {"summary": note}, files, {}, {"parent": 1})


def test_the_embedded_model_is_version_one_and_serves(registry, tmp_path):
    version = registry.serving()
    assert version.number == 1
    assert version.sha256 == load_model(EMBEDDED).sha256
    # The 120 crops of heads count as seen, and not for drift (decision 0037).
    known = registry.reference(1)
    assert (len(known), sum(bool(case["features"]) for case in known)) == (340, 220)
    assert [v.number for v in registry_in(tmp_path).find()] == [1]  # a restart adds none


def test_versions_are_promoted_and_rolled_back_like_a_pile(registry):
    two, three = candidate(registry).number, candidate(registry).number
    assert registry.previous() is None
    with pytest.raises(ConflictError):
        registry.roll_back(two)
    registry.promote(two)
    registry.promote(three)
    with pytest.raises(ConflictError, match="not the one"):
        registry.roll_back(1)
    assert [(v.number, v.stage) for v in registry.find()] == [
        (3, "serving"), (2, "retired"), (1, "retired"),
    ]  # fmt: skip
    assert registry.previous() == two
    registry.roll_back(two)
    assert registry.previous() == 1
    registry.roll_back(1)
    assert registry.previous() is None
    registry.promote(three)
    assert registry.previous() == 1
    with pytest.raises(ConflictError):
        registry.promote(three)
    with pytest.raises(NotFoundError):
        registry.promote(99)
    assert registry.serving().number == three
    assert [entry.number for entry in registry.history()] == [3, 1, 2, 3, 2, 1]


@pytest.mark.parametrize("name", ["weights.safetensors", "plans.json", "card.json"])
def test_a_changed_file_is_never_loaded(name, registry, tmp_path):
    number = candidate(registry).number
    path = tmp_path / "storage" / "models" / str(number) / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError), registry.open(number):
        pass
    path.unlink()
    with pytest.raises(ModelError), registry.open(number):
        pass


def test_a_card_and_weights_swapped_together_are_noticed(registry, tmp_path):
    number = candidate(registry).number
    folder = tmp_path / "storage" / "models" / str(number)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    card = json.loads((folder / "card.json").read_bytes())
    card["files"][weights.name] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    load_model(folder)  # by itself it looks right
    with pytest.raises(ModelError, match="not the one"), registry.open(number):
        pass


def test_a_lost_database_finds_its_versions_in_the_storage(registry, tmp_path):
    two = candidate(registry).number
    registry.add_evaluation(two, "key", {"dice": 1})
    registry.promote(two)
    (tmp_path / DATABASE_NAME).unlink()
    again = registry_in(tmp_path)
    assert [(v.number, v.stage) for v in again.find()] == [(2, "serving"), (1, "retired")]
    assert again.get(2).evaluations == {"key": {"dice": 1}}


def test_a_new_program_brings_its_model_as_a_candidate_and_the_old_one_serves_on(
    registry, tmp_path
):
    newer = tmp_path / "newer"
    shutil.copytree(EMBEDDED, newer)
    card = json.loads((newer / "card.json").read_bytes())
    weights = newer / card["weights"]
    weights.write_bytes(weights.read_bytes() + b"\0")
    card["files"][card["weights"]] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (newer / "card.json").write_text(json.dumps(card))
    again = registry_in(tmp_path, newer)
    assert [(v.number, v.stage) for v in again.find()] == [(2, "candidate"), (1, "serving")]
    gone = registry_in(tmp_path, tmp_path / "nothing-here")
    with gone.open_serving() as model:
        assert model.version == "1"


def test_without_any_model_it_says_so(tmp_path):
    with pytest.raises(ModelError):
        registry_in(tmp_path, tmp_path / "nothing-here")


def test_a_swap_fails_no_scan_under_way_and_none_after(registry, tmp_path):
    number = candidate(registry).number
    predictors = Predictors(registry.open_serving, InferenceOptions(), 16)
    predictors.load()
    scan = as_bytes(example())
    seen, errors = [], []

    def segment(folder):
        try:
            while len(seen) < 12:
                result = analyse(stream(scan), predictors.on("auto"), folder)
                seen.append(result.segmentation.model.version)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=segment, args=(tmp_path / str(n),)) for n in range(3)]
    for thread in threads:
        thread.start()
    networks = network_threads()
    predictors.swap(partial(registry.open, number), partial(registry.promote, number))
    after = analyse(stream(scan), predictors.on("auto"), tmp_path / "after")
    for thread in threads:
        thread.join()
    assert errors == []
    assert after.segmentation.model.version == "2"
    assert set(seen) <= {"1", "2"}
    assert predictors.serving is not None
    assert predictors.serving.model.version == "2"
    until(lambda: gc.collect() >= 0 and network_threads() == networks)  # the old one has gone
    predictors.close()


def network_threads() -> int:
    return sum(thread.name.startswith("network-") for thread in threading.enumerate())


def test_a_version_that_cannot_serve_changes_nothing(registry, tmp_path):
    number = candidate(registry).number
    (tmp_path / "storage" / "models" / str(number) / "plans.json").unlink()
    predictors = Predictors(registry.open_serving, InferenceOptions(), 1)
    predictors.load()
    with pytest.raises(ModelError):
        predictors.swap(partial(registry.open, number), partial(registry.promote, number))
    assert registry.serving().number == 1
    assert predictors.on("auto").model.version == "1"
    predictors.close()


def test_a_failed_start_is_mended_by_a_swap(registry):
    @contextmanager
    def broken():
        raise ModelError("broken", "mend it")
        yield

    predictors = Predictors(broken, InferenceOptions(), 1)
    predictors.load()
    assert predictors.serving is None
    predictors.swap(partial(opened, EMBEDDED), lambda: None)
    predictors.check()
    assert predictors.serving is not None
    predictors.close()
