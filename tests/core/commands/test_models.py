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
    done = [
        subprocess.run(
            [sys.executable, "-m", "core", "models", "promote", str(number)], cwd=ROOT,
            env=os.environ | {"HIPPOVIEW_DATA_DIR": str(tmp_path)}, capture_output=True, text=True,
        )
        for number in numbers
    ]  # fmt: skip
    assert [one.returncode for one in done] == [0, 1], done
    assert "is in service" not in done[1].stdout
    assert registry.serving().number == numbers[0]
