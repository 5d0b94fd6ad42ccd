import json
import shutil

import pytest
import torch

from core.errors import ModelError
from core.models.folder import load_model, measured_on
from core.predictor.checkpoint import CHECKPOINT_NAME, convert, write_for_nnunet
from core.settings import Settings

EMBEDDED = Settings().model_dir


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(EMBEDDED, tmp_path / "model")


def test_the_embedded_model_is_what_its_card_says():
    model = load_model(EMBEDDED)
    assert model.labels == {"anterior": 1, "posterior": 2}
    assert len(model.sha256) == 64
    assert model.card["metrics"]["cases"] == 44
    assert model.card["metrics"]["cross_validated"]
    assert "Decathlon" in " ".join(model.card["attribution"])


@pytest.mark.parametrize("name", ["weights.safetensors", "plans.json", "dataset.json"])
def test_a_changed_file_is_never_loaded(name, copy):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_model(copy)


def test_a_missing_file_is_named(copy):
    (copy / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"plans\.json"):
        load_model(copy)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"files": {}}'])
def test_a_card_that_says_nothing_is_refused(card, copy):
    (copy / "card.json").write_text(card)
    with pytest.raises(ModelError):
        load_model(copy)


def test_a_card_cannot_reach_outside_its_folder(copy):
    card = json.loads((copy / "card.json").read_text())
    card["files"]["../secret"] = "0" * 64
    (copy / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="outside"):
        load_model(copy)


def test_weights_go_to_nnunet_and_back_unchanged(tmp_path):
    model = load_model(EMBEDDED)
    write_for_nnunet(model, tmp_path)
    checkpoint = tmp_path / "fold_0" / CHECKPOINT_NAME
    assert convert(checkpoint, tmp_path / "weights.safetensors") == model.sha256


class Payload:
    def __reduce__(self):
        return print, ("code ran",)


def test_a_checkpoint_that_holds_code_is_refused(tmp_path, capsys):
    torch.save({"network_weights": {}, "x": Payload()}, tmp_path / "bad.pth")
    with pytest.raises(Exception, match=r"Weights only load failed"):
        convert(tmp_path / "bad.pth", tmp_path / "out.safetensors")
    assert "code ran" not in capsys.readouterr().out
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"seen_in_training": False}, "that it never saw"),
        ({"seen_in_training": True}, "seen in training"),
        ({"seen_in_training": False, "cross_validated": True}, "cross-validation"),
    ],
)
def test_what_figures_are_of_is_said(metrics, words):
    assert measured_on({"cases": 7, **metrics}).startswith("7 cases")
    assert words in measured_on({"cases": 7, **metrics})
