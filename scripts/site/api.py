"""The reference of the REST API, from what the routes say of themselves."""

import http
from typing import Any

from app.http.api import make_api

_HEAD = """# API

This page is made from the code. The server has the same as an interactive page at `/api/docs`, and
for programs at `/api/openapi.json`. Research software: not for diagnosis.

All addresses begin with `/api`. Where there are accounts, a script sends a token of a service
(`Authorization: Bearer hv_...`); which scope an address asks for is in
[who may do what](../permissions.md). Every error is
`{"error": {"code", "message", "hint"}}`: see [errors by code](../errors.md).
"""
_EXAMPLES = {
    ("post", "/predict"): """```sh
curl -F image=@scan.nii.gz http://127.0.0.1:8501/api/predict -o mask.nii.gz
curl -F image=@scan.nii.gz -H 'Accept: application/json' http://127.0.0.1:8501/api/predict
```

The mask is `uint8`. The headers of the answer say the rest:
`X-Anterior-Mm3`, `X-Posterior-Mm3`, `X-Model-Version`, `X-Warnings` (codes, see
[errors by code](../errors.md#warnings-and-notes)) and `X-Kept`; of a head also `X-Confidence`,
`X-Left-Mm3`, `X-Right-Mm3`; `X-Expected-Dice` where the version is calibrated, `X-Volume-Remark`
where a volume comes out too small.
""",
}


def schema() -> dict[str, Any]:
    """The API in OpenAPI's words. No server is needed for it: the routes are only read."""
    return make_api({}, None).openapi()  # type: ignore[arg-type]


def page() -> str:
    """The page in Markdown."""
    told = schema()
    parts = [_HEAD, "| address | what |", "| --- | --- |"]
    routes = [
        (method, path, route)
        for path, methods in told["paths"].items()
        for method, route in methods.items()
    ]
    parts += [f"| `{m.upper()} {p}` | {_first(r)} |" for m, p, r in routes]
    for method, path, route in routes:
        parts += ["", f"## {method.upper()} {path}", "", _description(route)]
        if example := _EXAMPLES.get((method, path)):
            parts += ["", example]
        parts += [*_fields(route, told), "", _answers(route)]
    return "\n".join(parts) + "\n"


def _description(route: dict[str, Any]) -> str:
    return str(route.get("description", "")).replace("``", "`")


def _first(route: dict[str, Any]) -> str:
    """The first sentence, in one line."""
    return " ".join(_description(route).split("\n\n")[0].split()).replace("|", "\\|")


def _fields(route: dict[str, Any], told: dict[str, Any]) -> list[str]:
    rows = [
        _row(p["name"], f"{p['in']}", p["schema"], p.get("required"), p.get("description"))
        for p in route.get("parameters", [])
    ]
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        body = _followed(content["schema"], told)
        where = "form" if "form" in kind else "JSON"
        needed = body.get("required", [])
        rows += [
            _row(name, where, field, name in needed, field.get("description"))
            for name, field in body.get("properties", {}).items()
        ]
    if not rows:
        return []
    return ["", "| field | in | what |", "| --- | --- | --- |", *rows]


def _row(
    name: str, where: str, field: dict[str, Any], is_needed: bool | None, words: str | None
) -> str:
    said = [(words or "").rstrip(".")] if words else []
    if choices := field.get("enum"):
        said.append("one of " + ", ".join(f"`{c}`" for c in choices))
    if field.get("default") not in (None, ""):
        said.append(f"default `{field['default']}`")
    if is_needed:
        said.append("needed")
    return f"| `{name}` | {where} | {'; '.join(said).replace('|', chr(92) + '|')} |"


def _followed(field: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in field:
        field = told["components"]["schemas"][field["$ref"].rsplit("/", 1)[1]]
    for part in field.get("anyOf", field.get("allOf", ())):
        if "$ref" in part:
            return _followed(part, told)
    return field


def _answers(route: dict[str, Any]) -> str:
    """Kinds of the answer that is a success; errors have one shape."""
    good = {s: a for s, a in route["responses"].items() if s.startswith("2")}
    said = [
        f"{status} {http.HTTPStatus(int(status)).phrase}"
        + (f", {' or '.join(f'`{k}`' for k in a['content'])}" if a.get("content") else "")
        for status, a in good.items()
    ]
    return f"Answer: {'; '.join(said)}."
