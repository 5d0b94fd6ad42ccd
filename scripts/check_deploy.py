"""Check deploy/ and .github/ against schemas; `scripts/check-deploy [FOLDER]` runs it.

Google's schemas are the discovery documents that google-api-python-client ships, Kubernetes's those
of kubernetes-validate, those of compose, workflows and Dependabot come with check-jsonschema. Of
KubeRay's objects the pods are checked, and the names of the fields beside them against `_KUBERAY`,
which was read from its API (v1) by hand: no package has its schema.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import check_jsonschema
import googleapiclient
import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
BUILTIN = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
# By file: Google's document and the object that it has to be.
GOOGLE = {
    "deploy/cloudbuild.yaml": ("cloudbuild.v1", "Build"),
    "deploy/cloudrun.yaml": ("run.v1", "Service"),
    "deploy/cloudrun-gpu.yaml": ("run.v1", "Service"),
    "deploy/cloudrun-sql.yaml": ("run.v1", "Service"),
    "deploy/training/vertex.yaml": ("aiplatform.v1", "GoogleCloudAiplatformV1CustomJobSpec"),
}
OTHERS = {
    "deploy/compose/compose.yaml": "compose-spec",
    ".github/dependabot.yml": "dependabot",
    ".github/workflows/*.yml": "github-workflows",
}
RAY = "deploy/training/ray.yaml"
KUBERNETES = "1.37"
_KUBERAY: dict[str, set[str]] = {
    "RayCluster": {"rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
                   "workerGroupSpecs"},
    "headGroupSpec": {"rayStartParams", "serviceType", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams",
                         "template"},
}  # fmt: skip


def schema_of(document: str, name: str) -> dict[str, Any]:
    """The JSON schema of an object of a Google API; unknown fields are refused."""
    schemas = json.loads((DOCUMENTS / f"{document}.json").read_text())["schemas"]
    return {"$ref": f"#/$defs/{name}", "$defs": {key: _schema(s) for key, s in schemas.items()}}


def _schema(google: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in google:
        return {"$ref": f"#/$defs/{google['$ref']}"}
    kind = google.get("type", "any")
    if kind == "any":
        return {}
    if kind == "array":
        return {"type": "array", "items": _schema(google["items"])}
    if kind == "object":
        fields = {name: _schema(field) for name, field in google.get("properties", {}).items()}
        others = google.get("additionalProperties")
        return {"type": "object", "properties": fields,
                "additionalProperties": _schema(others) if others else False}  # fmt: skip
    if kind == "string" and google.get("format") == "int64":
        return {"type": ["string", "integer"]}
    return {"type": kind, **({"enum": google["enum"]} if "enum" in google else {})}


def faults(root: Path) -> Iterator[str]:
    """What is wrong, a line each."""
    for file, (document, name) in GOOGLE.items():
        yield from _against(root / file, Draft202012Validator(schema_of(document, name)))
    for pattern, name in OTHERS.items():
        schema = json.loads((BUILTIN / f"{name}.json").read_text())
        for path in sorted(root.glob(pattern)):
            yield from _against(path, validator_for(schema)(schema))
    for content in yaml.safe_load_all((root / RAY).read_text()):
        yield from _of_kuberay(content)


def _against(path: Path, validator: Any) -> Iterator[str]:
    # PyYAML takes a workflow's `on` for a truth value.
    content = yaml.safe_load(path.read_text().replace("\non:\n", '\n"on":\n'))
    for error in validator.iter_errors(content):
        yield f"{path.name}: {error.json_path}: {error.message}"


def _of_kuberay(content: dict[str, Any]) -> Iterator[str]:
    if (content["apiVersion"], content["kind"]) != ("ray.io/v1", "RayCluster"):
        yield f"ray.yaml: {content['apiVersion']} {content['kind']} is not known"
        return
    spec = content["spec"]
    pods = [("headGroupSpec", spec["headGroupSpec"])]
    pods += [("workerGroupSpecs", group) for group in spec["workerGroupSpecs"]]
    for part, fields in [("RayCluster", spec), *pods]:
        if unknown := set(fields) - _KUBERAY[part]:
            yield f"ray.yaml: {part} has no {', '.join(sorted(unknown))}"
    for part, fields in pods:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": part.lower()},
               **fields["template"]}  # fmt: skip
        try:
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"ray.yaml: the pod of {part}: {error}"


if __name__ == "__main__":
    wrong = list(faults(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT))
    print("\n".join(wrong) or "deploy/ and .github/ are as their readers expect")
    sys.exit(bool(wrong))
