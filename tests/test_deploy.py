"""What deploy/ and the workflows say, by their schemas; and a clinic's proxy as a plain process."""

import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from core.image.example import example_file
from core.settings import ROOT, Settings, variable_of
from tests.server import free_port, running
from tests.set_ups import nginx
from tests.waiting import until

FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_a_clinics_services_are_bounded_and_write_where_they_are_told():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["healthcheck"], name
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        mounted = [volume.split(":") for volume in service.get("volumes", [])]
        for source, _, *options in mounted:
            if source.startswith("."):
                assert (FOLDER / source).exists(), source
                assert options == ["ro"], source
            else:
                assert source in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert {"app-1", "app-2", "worker", "database", "proxy", "prometheus", "alertmanager",
            "grafana"} == set(COMPOSE["services"])  # fmt: skip
    published = {
        name: [port.rpartition(":")[0] for port in service["ports"]]
        for name, service in COMPOSE["services"].items() if "ports" in service
    }  # fmt: skip
    assert published == {"proxy": ["443", "80"], "grafana": ["127.0.0.1:3000"]}


def test_a_clinics_settings_and_secrets_are_real(tmp_path):
    app = COMPOSE["services"]["app-1"]
    known = {variable_of(name) for name in Settings.__dataclass_fields__}
    names = set(app["environment"]) | set(app["secrets"])
    assert names <= known
    proxy = COMPOSE["services"]["proxy"]["networks"]["front"]["ipv4_address"]
    assert app["environment"]["HIPPOVIEW_TRUSTED_PROXIES"] == proxy
    folder = tmp_path / "compose"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))

    def prepared() -> dict[str, bytes]:
        subprocess.run([folder / "prepare", "clinic.example"], check=True, capture_output=True)
        files = [folder / secret["file"] for secret in COMPOSE["secrets"].values()]
        return {file.name: file.read_bytes() for file in files}

    secrets = prepared()
    assert all(secrets.values())
    assert prepared() == secrets  # nothing that is there is changed
    assert (folder / "secrets").stat().st_mode & 0o077 == 0
    assert secrets["database_password"] in secrets["database_url"]
    mounted = tmp_path / "run"
    mounted.mkdir()
    (mounted / "HIPPOVIEW_ORIGINS_KEY").write_bytes(secrets["origins_key"])
    (mounted / "certificate_key").write_text("no variable")
    command = [folder / "with-secrets", "sh", "-c", 'printf %s "$HIPPOVIEW_ORIGINS_KEY"']
    env = {"SECRETS": str(mounted), "PATH": "/usr/bin:/bin"}
    said = subprocess.run(command, env=env, check=True, capture_output=True).stdout
    assert said == secrets["origins_key"]
    Settings.from_environment({"HIPPOVIEW_ORIGINS_KEY": said.decode()})


@pytest.mark.long
def test_a_typing_error_in_a_deployment_is_found(tmp_path):
    for part in ("deploy", ".github"):
        shutil.copytree(ROOT / part, tmp_path / part)
    check = [ROOT / "scripts" / "check-deploy", tmp_path]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    errors = {
        "deploy/cloudbuild.yaml": ("machineType: E2_HIGHCPU_8", "machineType: E2_HIGH"),
        "deploy/cloudrun.yaml": ("containerConcurrency", "containerConcurency"),
        "deploy/cloudrun-gpu.yaml": ("failureThreshold: 48", "failureThreshold: often"),
        "deploy/cloudrun-sql.yaml": ("secretKeyRef", "secretRef"),
        "deploy/training/vertex.yaml": ("imageUri", "image"),
        "deploy/training/ray.yaml": ("containerPort: 8265", "containerPorts: 8265"),
        "deploy/compose/compose.yaml": ("depends_on:", "depend_on:"),
        ".github/dependabot.yml": ("interval: weekly", "interval: often"),
        ".github/workflows/ci.yml": ("runs-on: ubuntu-24.04", "runs-at: ubuntu-24.04"),
        ".github/workflows/release.yml": ("contents: write", "contents: wide"),
        ".github/workflows/pages.yml": ("needs: build", "needs: built"),
    }
    for file, (right, wrong) in errors.items():
        text = (tmp_path / file).read_text()
        assert right in text, file
        (tmp_path / file).write_text(text.replace(right, wrong))
    done = subprocess.run(check, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    for file in errors:
        assert Path(file).name in done.stdout + done.stderr, file


@pytest.mark.long
def test_a_clinics_proxy_serves_by_tls_and_goes_on_when_one_process_ends(tmp_path):
    shutil.copy(FOLDER / "prepare", tmp_path)
    subprocess.run([tmp_path / "prepare", "clinic.example"], check=True, capture_output=True)
    plain, secure = free_port(), free_port()
    trusting = ssl.create_default_context(cafile=tmp_path / "secrets" / "certificate.pem")
    password = "a long enough password"
    settings = {"hosts": "clinic.example", "trusted_proxies": "127.0.0.1",
                "admin_password": password}  # fmt: skip
    name = {"Host": "clinic.example"}
    with ExitStack() as stack:
        servers = [stack.enter_context(running(tmp_path / "var", **settings))]
        leaving = stack.enter_context(ExitStack())
        second = running(tmp_path / "var", wait_ready=False, **settings)
        servers.append(leaving.enter_context(second))
        ports = [int(server.url.rpartition(":")[2]) for server in servers]
        stack.enter_context(nginx(tmp_path, ports, plain, secure))
        site = stack.enter_context(
            httpx.Client(transport=Named(trusting, secure), headers=name, timeout=60)
        )
        until(lambda: answers(site), 20)
        moved = httpx.get(f"http://127.0.0.1:{plain}/x?y=1", headers=name)
        assert moved.headers["location"] == "https://clinic.example/x?y=1"
        page = site.get(f"{SITE}/sign-in", headers={"Accept": "text/html"})
        assert "max-age=" in page.headers["strict-transport-security"]
        assert site.get(f"{SITE}/", headers={"Host": "elsewhere.example"}).status_code == 421
        form, origin = {"name": "administrator", "password": password}, {"Origin": SITE}
        signed = site.post(f"{SITE}/sign-in", data=form, headers=origin)
        assert signed.status_code == 303, signed.text
        assert "Secure" in signed.headers["set-cookie"]
        scan = {"image": ("scan.nii", example_file())}
        mask = site.post(f"{SITE}/api/predict", files=scan, headers=origin)
        assert mask.status_code == 200, mask.text
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in site.cookies.jar)
        with connect(
            f"wss://clinic.example:{secure}/_stcore/stream", ssl=trusting,
            sock=socket.create_connection(("127.0.0.1", secure)),
            origin=f"https://clinic.example:{secure}", subprotocols=["streamlit"],
            additional_headers={"Cookie": cookies},
        ):  # fmt: skip
            pass
        leaving.close()  # who was with the second process is with the first now
        browsers = [{"User-Agent": f"browser {n}"} for n in range(8)]
        answered = [site.get(f"{SITE}/api/live", headers=b).status_code for b in browsers]
        assert answered == [200] * 8
        assert "scan.nii" not in (tmp_path / "access.log").read_text()


SITE = "https://clinic.example"


class Named(httpx.HTTPTransport):
    """Reaches the site by its name, though no name server knows it."""

    def __init__(self, trusting: ssl.SSLContext, port: int) -> None:
        super().__init__(verify=trusting)
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        there = httpx.Request(
            request.method, request.url.copy_with(host="127.0.0.1", port=self._port),
            headers=request.headers, stream=request.stream,
            extensions={**request.extensions, "sni_hostname": "clinic.example"},
        )  # fmt: skip
        return super().handle_request(there)


def answers(site: httpx.Client) -> bool:
    try:
        return site.get(f"{SITE}/api/live").status_code == 200
    except httpx.TransportError:
        return False
