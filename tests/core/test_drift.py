import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from core.__main__ import main
from core.drift import FEATURES, compare, features_of
from core.drift_report import report_html
from core.registry import REFERENCE_NAME
from core.settings import Settings
from tests.scans import example, noise

SPACING = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def reference():
    content = json.loads((Settings().model_dir / REFERENCE_NAME).read_bytes())
    return [case["features"] for case in content["cases"]]


def test_there_are_seventeen_finite_features():
    values = features_of(noise(), SPACING)
    assert list(values) == [feature.key for feature in FEATURES]
    assert len(values) == 17
    assert np.isfinite(list(values.values())).all()


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(0.5, 1e3), offset=st.floats(0, 10))
def test_gain_and_offset_move_only_the_features_of_the_raw_values(gain, offset):
    data = np.asarray(example().dataobj, np.float32)
    before = features_of(data, SPACING)
    after = features_of((data * gain + offset).astype(np.float32), SPACING)
    for feature in FEATURES:
        if not feature.raw:
            assert after[feature.key] == pytest.approx(before[feature.key], abs=0.05)


@pytest.mark.parametrize(
    ("change", "key", "sign"),
    [
        (lambda d: ndimage.gaussian_filter(d, 0.7), "sharpness", -1),
        (lambda d: d + np.random.default_rng(0).normal(0, d.std() / 4, d.shape), "noise", 1),
        (lambda d: d * np.linspace(0.5, 1.5, d.shape[0])[:, None, None], "bias", 1),
        (lambda d: ndimage.uniform_filter1d(d, 3, axis=2), "step_z", -1),
        (lambda d: d[4:-4], "size_x", -1),
    ],
)
def test_a_feature_moves_as_its_words_say(change, key, sign):
    data = np.asarray(example().dataobj, np.float32)
    before = features_of(data, SPACING)[key]
    after = features_of(change(data).astype(np.float32), SPACING)[key]
    assert (after - before) * sign > 0


def test_too_few_cases_say_nothing(reference):
    drift = compare(reference, reference[:9])
    assert drift.state == "not enough yet"
    assert "9 of the 10" in drift.reasons[0]
    assert compare(reference[:9], reference).state == "not enough yet"
    assert b"not enough yet" in report_html(drift, reference, reference[:9], ["x"] * 9)


def test_unshifted_cases_are_quiet_nineteen_times_in_twenty(reference):
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        chosen = set(rng.choice(len(reference), 20, replace=False).tolist())
        window = [reference[i] for i in chosen]
        rest = [case for i, case in enumerate(reference) if i not in chosen]
        alarms += compare(rest, window).state != "quiet"
    assert alarms <= 0.05 * 200


def test_doubled_gain_is_told_but_no_alarm(reference):
    window = [case | {"log_mean": case["log_mean"] + 8} for case in reference[:20]]
    drift = compare(reference, window)
    told = [reason for reason in drift.reasons if "mean intensity" in reason]
    assert len(told) == 1
    assert "brighter" in told[0]
    assert drift.state == "quiet"


def test_the_report_opens_without_a_network_and_escapes_names(reference):
    drift = compare(reference, reference[:20])
    page = report_html(drift, reference, reference[:20], ["<script>alert(1)</script>"] * 20)
    text = page.decode()
    assert "<script" not in text
    assert "Not for diagnosis" in text
    links = re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)([^\"']+)", text)
    assert links == []
    assert re.findall(r"url\((?!#|[\"']?#)", text) == []


@pytest.mark.parametrize(("kind", "state"), [("plain", "quiet"), ("blurred", "act")])
def test_the_command_tells_plain_from_blurred(kind, state, windows, task04, tmp_path, capsys):
    html, record = tmp_path / "r.html", tmp_path / "r.json"
    window = tmp_path / "window"
    shutil.copytree(windows[kind], window)
    (window / "broken.nii.gz").write_bytes(b"\x1f\x8b")
    arguments = ["drift", "--reference", str(task04[0].parent), "--window", str(window),
                 "--html", str(html), "--json", str(record)]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"state: {state}"
    assert ("sharpness" in printed) == (kind == "blurred")
    assert "left out of the window: broken.nii.gz" in printed
    assert json.loads(record.read_bytes())["state"] == state
    assert b"Drift report" in html.read_bytes()
    assert main(["drift", "--reference", str(tmp_path / "no"), "--window", str(tmp_path)]) == 1
