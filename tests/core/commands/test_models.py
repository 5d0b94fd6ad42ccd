"""``python -m core models``."""

import subprocess
import sys

from core.__main__ import main
from core.models.folder import load_model
from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage

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
