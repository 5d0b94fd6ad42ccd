"""What the viewer fetches: its script, and the scan and the mask of a case, each by a link.

The links to a case hold for one browser (`app.visitor`).
"""

import re
from typing import Annotated, Any

import streamlit as st
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from app import visitor
from app.services import Services, services
from app.viewer.bundle import bundle
from app.viewer.files import Part
from core.errors import NotFoundError
from core.strip import Convention

PREFIX = "/viewer"
_FOR_EVER = "public, max-age=31536000, immutable"
_FOR_THIS_BROWSER = "private, max-age=3600"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def router() -> APIRouter:
    """The routes, to be included in the API."""
    made = APIRouter(prefix=PREFIX, include_in_schema=False)
    made.get("/{name}.js")(_script)
    made.get("/cases/{case_id}/{token}/about.json")(_about)
    made.get("/cases/{case_id}/{token}/{part}.nii.gz")(_image)
    made.get("/cases/{case_id}/{token}/slices/{axis}/{index}.png")(_slice)
    return made


def script_url() -> str:
    """Address of the viewer's script."""
    return f"/api{PREFIX}/{bundle().name}"


def files_url(shared: Services, case_id: str) -> str:
    """Where a case's files lie for the browser whose page runs."""
    who = st.context.cookies.get(visitor.COOKIE, "")
    token = visitor.token_of(shared.link_secret, who, case_id)
    return f"/api{PREFIX}/cases/{case_id}/{token}"


def _script(name: str) -> Response:
    built = bundle()
    if name != built.stem or not built.is_file():
        raise NotFoundError("There is no such script", "Reload the page.")
    return FileResponse(built, media_type="text/javascript", headers={"Cache-Control": _FOR_EVER})


def _about(request: Request, case_id: str, token: str) -> JSONResponse:
    about = _admitted(request, case_id, token).viewer_files.about(case_id)
    return JSONResponse(about, headers={"Cache-Control": _FOR_THIS_BROWSER})


def _slice(
    request: Request,
    case_id: str,
    token: str,
    axis: Annotated[int, Path(ge=0, le=2)],
    index: Annotated[int, Path(ge=0)],
    convention: Convention = "radiological",
    opacity: Annotated[int, Query(ge=0, le=100)] = 50,
) -> Response:
    """For browsers that cannot draw it themselves. The opacity is in percent."""
    files = _admitted(request, case_id, token).viewer_files
    if index >= files.about(case_id)["shape"][axis]:
        raise NotFoundError("There is no such slice", "Open the case on its page.")
    picture = files.picture(case_id, axis, index, convention, opacity / 100)
    return Response(picture, 200, {"Cache-Control": _FOR_THIS_BROWSER}, "image/png")


def _admitted(request: Request, case_id: str, token: str) -> Services:
    """The services, if the link was made for this browser and the case is still there."""
    shared = services()
    who = request.cookies.get(visitor.COOKIE)
    if not visitor.may_see(shared.link_secret, who, case_id, token):
        raise NotFoundError("There is no such image", "Open the case on its page.")
    shared.cases.get(case_id)
    return shared


def _image(
    request: Request,
    case_id: str,
    token: str,
    part: Part,
    if_none_match: Annotated[str, Header()] = "",
    wanted: Annotated[str, Header(alias="range")] = "",
) -> Response:
    file = _admitted(request, case_id, token).viewer_files.file(case_id, part)
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": _FOR_THIS_BROWSER, "Accept-Ranges": "bytes"}
    if etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return _part_of(file.content, wanted, headers)


def _part_of(content: bytes, wanted: str, headers: dict[str, Any]) -> Response:
    """The whole, or the one range that was asked for (RFC 9110, section 14)."""
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return Response(content, media_type="application/gzip", headers=headers)
    first = int(found[1])
    last = min(int(found[2] or len(content)), len(content) - 1)
    if first > last:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers = headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Response(content[first : last + 1], 206, headers, "application/gzip")
