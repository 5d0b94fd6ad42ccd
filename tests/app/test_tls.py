"""The server with a certificate of its own, without a proxy."""

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from app.server import run
from core.errors import SettingsError
from core.settings import Settings
from tests.certificates import made_certificate
from tests.server import running


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    return made_certificate(tmp_path_factory.mktemp("tls"), "server")


def test_pages_api_and_websocket_are_served_by_tls_alone(files, tmp_path):
    certificate, key = files
    trusting = ssl.create_default_context(cafile=certificate)
    with running(
        tmp_path, wait_ready=False, ca=certificate, tls_certificate=str(certificate),
        tls_key=str(key),
    ) as server:  # fmt: skip
        with httpx.Client(base_url=server.url, verify=trusting, timeout=60) as client:
            page = client.get("/", headers={"Accept": "text/html"})
            assert "max-age=" in page.headers["strict-transport-security"]
            assert "Secure" in page.headers["set-cookie"]
            own = client.post("/api/predict", headers={"Origin": server.url})
            assert own.status_code in (422, 503)
            plain = server.url.replace("https", "http")
            foreign = client.post("/api/predict", headers={"Origin": plain})
            assert foreign.status_code == 403
        address = server.url.replace("https", "wss") + "/_stcore/stream"
        with connect(address, ssl=trusting, origin=server.url, subprotocols=["streamlit"]):
            pass
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{plain}/api/live", timeout=60)


@pytest.mark.parametrize("which", ["another's key", "no key", "a key with a password"])
def test_a_certificate_that_cannot_be_used_is_told_at_the_start(which, files, tmp_path):
    certificate, key = files
    if which == "another's key":
        key = made_certificate(tmp_path, "other")[1]
    elif which == "no key":
        key = tmp_path / "empty.pem"
        key.write_text("")
    else:
        locked = tmp_path / "locked.pem"
        command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked]
        subprocess.run(command, check=True, capture_output=True)
        key = locked
    settings = Settings(
        data_dir=tmp_path / "var", tls_certificate=str(certificate), tls_key=str(key)
    )
    with pytest.raises(SettingsError, match="HIPPOVIEW_TLS_CERTIFICATE") as refused:
        run(settings)
    assert str(key) not in f"{refused.value.message} {refused.value.hint}"
    assert not settings.data_dir.exists()
