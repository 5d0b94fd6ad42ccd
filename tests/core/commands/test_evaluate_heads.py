"""``python -m core evaluate --heads``."""

import json

import nibabel as nib
import numpy as np
import pytest

from core.__main__ import main
from core.settings import Settings
from tests.heads import save_head

MODEL = str(Settings().model_dir)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Two small heads whose labels are ellipsoids."""
    folder = tmp_path_factory.mktemp("heads") / "two"
    for name, gain in (("P1", 1.0), ("P2", 1.02)):
        save_head(folder, name, gain=gain)
    return folder


@pytest.fixture(autouse=True)
def _data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "var"))


@pytest.mark.long
def test_it_writes_figures_masks_and_a_page_and_prints_a_table(heads, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["evaluate", "--heads", str(heads), MODEL, "--protocol", "anterior-posterior"]
    assert main([*call, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 heads of two, protocol: anterior and posterior"
    assert lines[1].split()[:6] == ["Model", "Side", "Sides", "Found", "Flagged", "Missed"]
    assert [line.split()[1] for line in lines[2:5]] == ["left", "right", "both"]
    assert lines[5] == str(out / "report.html")
    content = json.loads((out / "evaluation.json").read_bytes())
    (one,) = content["models"]
    figures = one["figures"]
    assert (content["kind"], figures["kind"], figures["source"]) == ("heads", "heads", "two")
    assert [(row["head"], row["side"]) for row in figures["sides"]] == [
        ("P1", "left"), ("P1", "right"), ("P2", "left"), ("P2", "right")
    ]  # fmt: skip
    assert figures["summary"]["both"]["sides"] == 4
    for name in ("P1", "P2"):
        mask = nib.load(out / "masks" / "1" / f"{name}.nii.gz")
        scan = nib.load(heads / "imagesTr" / f"{name}.nii.gz")
        assert mask.shape == scan.shape
        assert np.allclose(mask.affine, scan.affine)
    page = (out / "report.html").read_text()
    assert "anterior and posterior" in page
    assert page.count("<svg") == 1 + 4
    # It is no evaluation of crops, and says so where one is asked for.
    assert main(["compare", str(out / "evaluation.json"), str(out / "evaluation.json")]) == 1
    assert "on whole heads" in capsys.readouterr().err


def test_what_the_labels_mean_must_be_said(heads, tmp_path, capsys):
    assert main(["evaluate", "--heads", str(heads), MODEL, "--out", str(tmp_path / "out")]) == 1
    assert "--protocol" in capsys.readouterr().err
    call = ["evaluate", "--heads", str(heads), MODEL, "--protocol", "whole"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 1
    assert "P1: the labels of left and right lie on both sides" in capsys.readouterr().err


def test_without_a_model_the_call_is_not_understood(heads, tmp_path, capsys):
    for call in (["--heads", str(heads)], ["task04"]):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *call, "--out", str(tmp_path / "out")])
        assert ended.value.code == 2
    assert "required: MODEL" in capsys.readouterr().err
