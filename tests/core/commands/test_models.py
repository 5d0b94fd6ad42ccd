"""``python -m core models``."""

import os
import subprocess
import sys

from core.models.folder import load_model
from core.models.registry import Registry
from core.settings import ROOT, Settings
from core.state.database import connect
from core.state.storage import LocalStorage

EMBEDDED = Settings().model_dir


def test_a_version_that_cannot_serve_is_not_put_into_service(tmp_path):
    registry = Registry(connect(tmp_path), LocalStorage(tmp_path / "storage"), EMBEDDED)
    registry.prepare()
    model = load_model(EMBEDDED)
    files = {name: (EMBEDDED / name).read_bytes() for name in model.card["files"]}
    numbers = [
        registry.add(model.card | {"summary": note}, files, {}, {"parent": 1}).number
        for note in ("whole", "damaged")
    ]
    (tmp_path / "storage" / "models" / str(numbers[1]) / "plans.json").unlink()

    def models(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "core", "models", *map(str, arguments)], cwd=ROOT,
            env=os.environ | {"HIPPOVIEW_DATA_DIR": str(tmp_path)}, capture_output=True, text=True,
        )  # fmt: skip

    judged = models("judge", numbers[0])
    assert judged.returncode == 0
    assert "not judged: Dice: the two were not tested on the same frozen cases" in judged.stdout
    stopped = models("promote", numbers[0])
    assert stopped.returncode == 1
    assert stopped.stdout == judged.stdout
    assert "[gate]" in stopped.stderr
    assert registry.serving().number == 1
    done = [models("promote", number, "--reason", "only a trial") for number in numbers]
    assert [one.returncode for one in done] == [0, 1], done
    assert done[0].stdout.startswith(judged.stdout)
    assert "is in service" not in done[1].stdout
    assert registry.serving().number == numbers[0]
    note = registry.history()[0].note
    assert note.by.endswith(" (command line)")
    assert note.reason == "only a trial"
    assert note.objections[-1] == "not judged: Whole heads: neither synthetic nor reviewed ones"
