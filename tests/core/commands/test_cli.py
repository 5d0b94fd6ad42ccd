import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from core.pipeline import analyse
from core.settings import ROOT
from tests.scans import as_bytes, example, stream


def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "core", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(as_bytes(example())))
    return path


def test_one_scan_gives_the_mask_and_its_measures_as_json(scan, tmp_path, predictor):
    out = tmp_path / "mask.nii.gz"
    done = run("segment", scan, "-o", out, "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    mask = nib.load(out)
    labels = np.asarray(mask.dataobj)
    assert np.array_equal(mask.affine, example().affine)
    assert record["measures"]["anterior"]["volume_mm3"] == (labels == 1).sum()
    assert record["model"]["version"] == "1"
    assert record["warnings"] == []
    assert record["timings_s"]["total"] > 0
    same = analyse(stream(scan.read_bytes()), predictor, tmp_path / "in").mask_file
    assert out.read_bytes() == same


def test_several_scans_go_into_a_folder_and_a_bad_one_does_not_stop_them(scan, tmp_path):
    bad = tmp_path / "bad.nii"
    bad.write_bytes(b"not a scan")
    out = tmp_path / "masks"
    done = run("segment", bad, scan, tmp_path / "nowhere.nii", "-o", out)
    assert done.returncode == 1
    assert [p.name for p in out.iterdir()] == ["scan_mask.nii.gz"]
    assert "[not_nifti]" in done.stderr
    assert "[unreadable]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "mm3" in done.stdout
    assert "Not for diagnosis" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("SCAN", "-o", "mask.png"), "bad_request"),
        (("SCAN", "-o", "OUT/missing/mask.nii.gz"), "unwritable"),
        (("SCAN", "SCAN", "-o", "OUT"), "bad_request"),
    ],
)
def test_a_call_that_cannot_work_says_why(arguments, reason, scan, tmp_path):
    filled = [a.replace("SCAN", str(scan)).replace("OUT", str(tmp_path / "o")) for a in arguments]
    done = run("segment", *filled)
    assert done.returncode == 1
    assert f"[{reason}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_bad_settings_are_answered_at_once(scan):
    assert "not for diagnosis" in run("segment", "--help").stdout.lower()
    done = run("segment", scan, "-o", "m.nii.gz", HIPPOVIEW_DEVICE="tpu")
    assert done.returncode == 1
    assert "HIPPOVIEW_DEVICE" in done.stderr


STRICT = {"PYTHONIOENCODING": "utf-8:strict"}  # as en_US.UTF-8 has it
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    ("locale", "options"),
    [
        (STRICT, ("--json",)),
        pytest.param(ASCII, (), marks=pytest.mark.long),
        pytest.param(STRICT, (), marks=pytest.mark.long),
        pytest.param({"LC_ALL": "C"}, ("--json",), marks=pytest.mark.long),
    ],
)
def test_names_that_are_no_text_end_no_batch(locale, options, scan, tmp_path):
    folder = os.fsencode(tmp_path)
    odd, bad = folder + b"/a\xff.nii.gz", folder + b"/b\xfe.nii.gz"
    shutil.copy(scan, odd)
    Path(os.fsdecode(bad)).write_bytes(b"no scan")
    inputs = (os.fsdecode(bad), os.fsdecode(odd), scan)
    done = run("segment", *inputs, "-o", f"{tmp_path}/o/", *options, **locale)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    made = sorted(os.fsencode(path.name) for path in (tmp_path / "o").iterdir())
    assert made == [b"a\xff_mask.nii.gz", b"scan_mask.nii.gz"]
    if options:
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["file"][-11:] for line in lines] == [
            "\\xfe.nii.gz", "\\xff.nii.gz", "scan.nii.gz",
        ]  # fmt: skip
        assert json.dumps(lines, ensure_ascii=False).encode()  # no half characters


def test_one_scan_goes_into_a_folder_that_is_called_one(scan, tmp_path):
    done = run("segment", scan, "-o", f"{tmp_path}/new/masks/")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (tmp_path / "new/masks").iterdir()] == ["scan_mask.nii.gz"]
    (tmp_path / "there").mkdir()
    assert run("segment", scan, "-o", tmp_path / "there").returncode == 0
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["scan_mask.nii.gz"]


@pytest.mark.long
def test_names_in_capitals_are_taken(scan, tmp_path):
    capital = scan.rename(tmp_path / "SCAN.NII.GZ")
    assert run("segment", capital, "-o", f"{tmp_path}/masks/").returncode == 0
    assert [p.name for p in (tmp_path / "masks").iterdir()] == ["SCAN_mask.nii.gz"]
    assert run("segment", capital, "-o", tmp_path / "M.NII.GZ").returncode == 0


def test_no_mask_is_written_over_a_scan(scan):
    before = scan.read_bytes()
    done = run("segment", scan, "-o", scan)
    assert done.returncode == 1
    assert "[bad_request]" in done.stderr
    assert scan.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(scan, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = run("segment", scan, "-o", f"{tmp_path}/file/masks/")
    assert done.returncode == 1
    assert "[unwritable]" in done.stderr
