"""``python -m core models``."""

import subprocess
import sys

import pytest

from core import limits
from core.__main__ import main
from core.models.folder import load_model
from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage
from core.training.data.prepare import prepare
from tests.datasets import made

EMBEDDED = Settings().model_dir


def test_what_is_stopped_or_cannot_serve_is_not_put_into_service(tmp_path, monkeypatch, capsys):
    registry = Registry(connect(tmp_path), LocalStorage(tmp_path / "storage"), EMBEDDED)
    registry.prepare()
    model = load_model(EMBEDDED)
    files = {name: (EMBEDDED / name).read_bytes() for name in model.card["files"]}
    numbers = [
        registry.add(model.card | {"summary": note}, files, {}, {"parent": 1}).number
        for note in ("whole", "damaged")
    ]
    (tmp_path / "storage" / "models" / str(numbers[1]) / "plans.json").unlink()

    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    assert main(["models", "judge", str(numbers[0])]) == 0
    judged = capsys.readouterr().out
    assert "not judged: Dice: the two were not tested on the same frozen cases" in judged
    assert main(["models", "promote", str(numbers[0])]) == 1
    told = capsys.readouterr()
    assert told.out == judged
    assert "[gate]" in told.err
    assert registry.serving().number == 1
    done = [
        subprocess.run(
            [sys.executable, "-m", "core", "models", "promote", str(number), "--reason",
             "only a trial"], cwd=ROOT, capture_output=True, text=True,
        )
        for number in numbers
    ]  # fmt: skip
    assert [one.returncode for one in done] == [0, 1], done
    assert done[0].stdout.startswith(judged)
    assert "is in service" not in done[1].stdout
    assert registry.serving().number == numbers[0]
    note = registry.history()[0].note
    assert note.by.endswith(" (command line)")
    assert note.reason == "only a trial"
    assert note.objections[-1] == "not judged: Whole heads: neither synthetic nor reviewed ones"


@pytest.mark.long
def test_a_version_is_measured_on_heads_and_cases_against_the_one_in_service(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    # Enough for the ratio's order of magnitude; a busy machine would take all twenty.
    monkeypatch.setattr(limits, "LATENCY_ROUNDS", 3)
    storage = LocalStorage(tmp_path / "storage")
    registry = Registry(connect(tmp_path), storage, EMBEDDED)
    registry.prepare()
    dataset, _ = prepare(made(tmp_path / "source", 10), storage, "ten")
    model = load_model(EMBEDDED)
    files = {name: (EMBEDDED / name).read_bytes() for name in model.card["files"]}
    number = registry.add(model.card, files, {}, {"source": "added by hand"}).number

    assert main(["models", "test", str(number), "--dataset", "ten"]) == 0
    printed = capsys.readouterr().out
    assert "3 crops of ten" in printed
    assert "1 synthetic head" in printed
    added, serving = registry.get(number), registry.get(1)
    assert added.of_kind().keys() == serving.of_kind().keys() == {dataset.test_key}
    ((key, heads),) = added.of_kind("heads").items()
    assert heads["summary"] == serving.of_kind("heads")[key]["summary"]  # the same network
    timed = added.evaluations["latency"]
    assert (timed["against"], timed["against_sha256"]) == (1, serving.sha256)
    assert 0.4 < timed["ratio"] < 2.5
    assert "latency" not in serving.evaluations


def test_a_version_or_data_set_that_is_not_there_is_not_tested(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    assert main(["models", "test", "7"]) == 1
    assert main(["models", "test", "1", "--dataset", "none"]) == 1
    assert "no data set 'none'" in capsys.readouterr().err
    monkeypatch.setenv("HIPPOVIEW_TEST_HEADS", "0")
    assert main(["models", "test", "1"]) == 1
    told = capsys.readouterr().err
    assert "heads alone" in told
    assert "nothing to test on" in told
