import hashlib
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from core.models.folder import load_model
from core.settings import Settings

EMBEDDED = Settings().model_dir


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A network of the same kind with other weights, that was trained on one case more."""
    folder = shutil.copytree(EMBEDDED, tmp_path_factory.mktemp("other") / "model")
    card = json.loads((folder / "card.json").read_bytes()) | {"name": "other"}
    del card["int8"]
    weights = safetensors.numpy.load_file(folder / card["weights"])
    changed = {name: value * np.float32(0.9) for name, value in weights.items()}
    safetensors.numpy.save_file(changed, folder / card["weights"])
    case = {"content_sha256": "f" * 64, "inherited": False, "features": {}}
    (folder / "reference.json").write_text(json.dumps({"cases": [case]}))
    for name in card["files"]:
        card["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return load_model(folder)
