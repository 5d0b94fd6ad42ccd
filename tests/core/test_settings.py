import os
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import ROOT, Settings, unknown_variables


def test_settings_come_from_the_environment():
    settings = Settings.from_environment(
        {"HIPPOVIEW_DATA_DIR": "/srv/hv", "HIPPOVIEW_PORT": "9000", "HIPPOVIEW_DEVICE": "cpu"}
    )
    assert settings.data_dir == Path("/srv/hv")
    assert settings.port == 9000
    assert settings.device == "cpu"


@pytest.mark.parametrize(
    ("values", "is_reached"),
    [
        ({}, False), ({"address": "::1"}, False), ({"hosts": "localhost, 127.0.0.1, [::1]"}, False),
        ({"address": "0.0.0.0"}, True), ({"address": "::"}, True), ({"address": "10.0.0.4"}, True),
        ({"hosts": "hv.example.org"}, True), ({"trusted_proxies": "127.0.0.1"}, True),
    ],
)  # fmt: skip
def test_a_server_with_a_proxy_before_it_is_one_that_others_reach(values, is_reached):
    assert Settings(**values).for_others == is_reached


def test_nothing_set_means_the_defaults():
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"HIPPOVIEW_PORT": ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HIPPOVIEW_PORT", "http"), ("HIPPOVIEW_PORT", "0"), ("HIPPOVIEW_PORT", "70000"),
        ("HIPPOVIEW_DEVICE", "tpu"), ("HIPPOVIEW_LOG_LEVEL", "loud"),
        ("HIPPOVIEW_MAX_UPLOAD_MIB", "-1"), ("HIPPOVIEW_QUEUE_SIZE", "0"),
        ("HIPPOVIEW_MAX_UPLOAD_MIB", "9999"), ("HIPPOVIEW_GATE_DICE_MARGIN", "much"),
        ("HIPPOVIEW_GATE_DICE_MARGIN", "-0.1"), ("HIPPOVIEW_GATE_DICE_MARGIN", "0.5"),
        ("HIPPOVIEW_GATE_DICE_MARGIN", "nan"),
        ("HIPPOVIEW_TEST_HEADS", "101"), ("HIPPOVIEW_PACS_URL", "ftp://pacs"),
        ("HIPPOVIEW_PACS_URL", "https://user:word@pacs/dicom-web"),
        ("HIPPOVIEW_PACS_CA", "/there/is/no/such.pem"),
        ("HIPPOVIEW_TLS_CERTIFICATE", "/there/is/no/such.pem"),
        ("HIPPOVIEW_TLS_KEY", str(ROOT / "README.md")),
        ("HIPPOVIEW_HOSTS", "hv.example:8501"), ("HIPPOVIEW_HOSTS", "https://hv.example"),
        ("HIPPOVIEW_HOSTS", "*"), ("HIPPOVIEW_TRUSTED_PROXIES", "*"),
        ("HIPPOVIEW_TRUSTED_PROXIES", "proxy.example"), ("HIPPOVIEW_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("HIPPOVIEW_TRUSTED_PROXIES", "10.0.0.5/8"), ("HIPPOVIEW_REQUESTS_PER_MINUTE", "-1"),
        ("HIPPOVIEW_ENCRYPTION_KEY", "short"), ("HIPPOVIEW_ENCRYPTION_KEY", ","),
        ("HIPPOVIEW_ENCRYPTION_KEY", f"{'k' * 32},short"),
        ("HIPPOVIEW_ENCRYPTION_KEY_FILE", "/there/is/no/such.key"),
        ("HIPPOVIEW_ENCRYPTION_KEY_FILE", os.devnull),
        ("HIPPOVIEW_ENCRYPTION_KEY_FILE", str(ROOT / "README.md")),
        ("HIPPOVIEW_ENGINE", "celery"), ("HIPPOVIEW_LEASE_S", "14"),
        ("HIPPOVIEW_RAY_ADDRESS", "ray://head:10001"), ("HIPPOVIEW_RAY_CPUS", "2000"),
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused_by_name(variable, value):
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: value})


def test_keys_come_from_the_variable_or_a_file_and_are_shown_nowhere(tmp_path):
    one, two = "first-key-" * 4, "second-key" * 4
    (tmp_path / "keys").write_text(f"{one}\n\n {two}\n")
    file = {"HIPPOVIEW_ENCRYPTION_KEY_FILE": str(tmp_path / "keys")}
    variable = {"HIPPOVIEW_ENCRYPTION_KEY": f"{one}, {two}"}
    for environment in (file, variable):
        settings = Settings.from_environment(environment)
        assert settings.encryption_keys() == (one, two)
        assert one not in repr(settings)
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_environment(file | variable)
    assert not Settings().encrypts


def test_a_typing_error_in_a_name_is_noticed():
    assert unknown_variables({"HIPPOVIEW_PROT": "1", "HIPPOVIEW_PORT": "1"}) == ["HIPPOVIEW_PROT"]
