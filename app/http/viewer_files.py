"""Routes of the viewer: its script, the scan and the masks of a case, drafts and saves.

The links to a case hold for one browser (`app.http.visitor`).
"""

import hashlib
import os
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Body, File, Form, Path, Query, Request, UploadFile
from pydantic import BaseModel, Field, FiniteFloat
from starlette.datastructures import Headers
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from app.http import visitor
from app.http.bodies import DrawnRoute
from app.http.held import held_by
from app.services import Services
from app.viewer.bundle import bundle
from app.viewer.displays import Displays, View, display_name
from app.viewer.files import ViewerFile
from app.viewer.runs import RUNS, packed_of
from core.anatomy import Convention
from core.errors import ForbiddenError, NotFoundError
from core.people.acting import actor
from core.pipeline import Caller

PREFIX = "/viewer"
_FOR_EVER = "public, max-age=31536000, immutable"
# Kept by the browser, which asks each time whether it may still show it: after a sign-out it is
# told to sign in, and while it may, nothing is sent twice (304).
_FOR_THIS_BROWSER = "private, no-cache"
_NEVER_KEPT = {"Cache-Control": "no-store"}
Version = Annotated[int, Path(ge=0)]
_DRAWING = "^[a-z0-9]{0,24}$"
_TAG_LETTERS = 32


def router() -> APIRouter:
    """The routes, to be included in the API."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=DrawnRoute)
    case = "/cases/{case_id}/{token}"
    routes.get("/{name}.js")(_script)
    routes.get(f"{case}/scan.nii.gz")(_scan)
    routes.get(f"{case}/masks/{{version}}.nii.gz")(_mask)
    routes.get(f"{case}/about/{{version}}.json")(_about)
    view = f"{case}/as/{{view}}"
    routes.get(f"{view}/scan.nii.gz")(_view_scan)
    routes.get(f"{view}/masks/{{version}}.nii.gz")(_view_mask)
    routes.get(f"{view}/about/{{version}}.json")(_view_about)
    routes.get(f"{view}/slices/{{version}}/{{axis}}/{{index}}.png")(_view_slice)
    moved = "/moved/{case_id}/{onto}/{token}"
    routes.get(f"{moved}/scan.nii.gz")(_moved_scan)
    routes.get(f"{moved}/masks/{{version}}.nii.gz")(_moved_mask)
    routes.get(f"{moved}/about/{{version}}.json")(_moved_about)
    routes.get(f"{case}/slices/{{version}}/{{axis}}/{{index}}.png")(_slice)
    routes.post(f"{case}/masks")(_save)
    routes.post(f"{case}/here")(_here)
    routes.get(f"{case}/draft")(_draft)
    routes.put(f"{case}/draft", status_code=204)(_keep_draft)
    routes.delete(f"{case}/draft", status_code=204)(_drop_draft)
    return routes


def script_url() -> str:
    """Address of the viewer's script."""
    return f"/api{PREFIX}/{bundle().name}"


def files_url(secret: bytes, who: str, case_id: str) -> str:
    """Address of a case's files for this visitor's browser."""
    token = visitor.token_of(secret, who, case_id)
    return f"/api{PREFIX}/cases/{case_id}/{token}"


def view_url(secret: bytes, who: str, case_id: str, view: View) -> str:
    """Address of a case's files on the grid of a view, to look at."""
    return f"{files_url(secret, who, case_id)}/as/{view}"


def moved_url(secret: bytes, who: str, case_id: str, onto: str) -> str:
    """Address of the files of a scan that is moved onto another one, to look at."""
    return f"/api{PREFIX}/moved/{case_id}/{onto}/{visitor.token_of(secret, who, case_id + onto)}"


def _script(name: str) -> Response:
    built = bundle()
    if name != built.stem or not built.is_file():
        raise NotFoundError("There is no such script", "Reload the page.")
    return FileResponse(built, media_type="text/javascript", headers={"Cache-Control": _FOR_EVER})


def _about(request: Request, case_id: str, token: str, version: Version) -> Response:
    shared = _admitted(request, case_id, token)
    about = shared.viewer_files.about(case_id, version)
    # What is drawn goes back with these: see `_of_this_case`.
    about = about | {"case": case_id, "grid": shared.corrections.grid(case_id)}
    return _unless_kept(JSONResponse(about), request)


def _slice(
    request: Request,
    case_id: str,
    token: str,
    version: Version,
    axis: Annotated[int, Path(ge=0, le=2)],
    index: Annotated[int, Path(ge=0)],
    convention: Convention = "radiological",
    opacity: Annotated[int, Query(ge=0, le=100)] = 50,
) -> Response:
    """A slice as PNG, for browsers that cannot draw it; the opacity is in per cent."""
    files = _admitted(request, case_id, token).viewer_files
    _check_slice(files.about(case_id, version), axis, index)
    picture = files.picture(case_id, version, axis, index, convention, opacity / 100)
    return _unless_kept(Response(picture, media_type="image/png"), request)


def _view_scan(request: Request, case_id: str, token: str, view: View) -> Response:
    displays = Displays(_admitted(request, case_id, token).viewer_files)
    return _sent(displays.scan(case_id, view), request.headers)


def _view_mask(
    request: Request, case_id: str, token: str, view: View, version: Version
) -> Response:
    displays = Displays(_admitted(request, case_id, token).viewer_files)
    return _sent(displays.mask(case_id, version, view), request.headers)


def _view_about(
    request: Request, case_id: str, token: str, view: View, version: Version
) -> Response:
    displays = Displays(_admitted(request, case_id, token).viewer_files)
    about = displays.about(case_id, version, view)
    # A name of its own: nothing that is sent back can be taken for something of the case.
    about |= {"case": display_name(case_id, view), "grid": view}
    return _unless_kept(JSONResponse(about), request)


def _view_slice(
    request: Request,
    case_id: str,
    token: str,
    view: View,
    version: Version,
    axis: Annotated[int, Path(ge=0, le=2)],
    index: Annotated[int, Path(ge=0)],
    convention: Convention = "radiological",
    opacity: Annotated[int, Query(ge=0, le=100)] = 50,
) -> Response:
    """A slice of a view as PNG, as `_slice`."""
    displays = Displays(_admitted(request, case_id, token).viewer_files)
    _check_slice(displays.about(case_id, version, view), axis, index)
    picture = displays.picture(case_id, version, view, axis, index, convention, opacity / 100)
    return _unless_kept(Response(picture, media_type="image/png"), request)


def _check_slice(about: dict[str, Any], axis: int, index: int) -> None:
    if index >= about["shape"][axis]:
        raise NotFoundError("There is no such slice", "Open the case on its page.")


def _unless_kept(answer: Response, request: Request) -> Response:
    """The answer, or that the browser has it already."""
    tag = hashlib.sha256(answer.body).hexdigest()[:_TAG_LETTERS]
    answer.headers.update({"ETag": f'"{tag}"', "Cache-Control": _FOR_THIS_BROWSER})
    if StaticFiles().is_not_modified(answer.headers, request.headers):
        return NotModifiedResponse(answer.headers)
    return answer


def _moved_scan(request: Request, case_id: str, onto: str, token: str) -> Response:
    displays = _admitted_to_both(request, case_id, onto, token)
    return _sent(displays.moved_scan(case_id, onto), request.headers)


def _moved_mask(
    request: Request, case_id: str, onto: str, token: str, version: Version
) -> Response:
    displays = _admitted_to_both(request, case_id, onto, token)
    return _sent(displays.moved_mask(case_id, version, onto), request.headers)


def _moved_about(
    request: Request, case_id: str, onto: str, token: str, version: Version
) -> Response:
    displays = _admitted_to_both(request, case_id, onto, token)
    about = displays.moved_about(case_id, version, onto) | {"case": case_id, "grid": onto}
    return _unless_kept(JSONResponse(about), request)


def _save(
    request: Request,
    case_id: str,
    token: str,
    labels: Annotated[UploadFile, File()],
    case: Annotated[str, Form()],
    grid: Annotated[str, Form()],
    base: Annotated[int, Form(ge=0)],
    author: Annotated[str, Form()],
    comment: Annotated[str, Form()] = "",
    drawing: Annotated[str, Form(pattern=_DRAWING)] = "",
    replaces: Annotated[str, Form(pattern=_DRAWING)] = "",
) -> JSONResponse:
    """Save a drawn mask as the newest version."""
    shared = _admitted(request, case_id, token)
    corrections, who = shared.corrections, _who(request)
    corrections.check_is_of(case_id, case, grid)
    saved = corrections.save(
        case_id, labels.file.read(), base=base, author=author, comment=comment,
        visitor=who, drawing=drawing,
    )  # fmt: skip
    if replaces:
        corrections.drafts.drop(case_id, who, replaces)
    return JSONResponse({"version": saved.number}, 201)


class PointedSegmentation(BaseModel):
    """A request to segment one side of a head where a person points."""

    case: str
    grid: str
    side: Literal["left", "right"]
    centre_mm: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    base: Annotated[int, Field(ge=0)]
    author: str


def _here(request: Request, case_id: str, token: str, pointed: PointedSegmentation) -> JSONResponse:
    """Segment one side of a head where a person points, as the newest version."""
    shared = _admitted(request, case_id, token)
    shared.corrections.check_is_of(case_id, pointed.case, pointed.grid)
    saved = shared.segment_here(
        case_id, pointed.side, pointed.centre_mm, base=pointed.base, author=pointed.author,
        caller=Caller(user=_who(request)),
    )  # fmt: skip
    return JSONResponse({"version": saved.number}, 201)


def _draft(
    request: Request,
    case_id: str,
    token: str,
    drawing: Annotated[str, Query(pattern=_DRAWING)] = "",
) -> Response:
    """This browser's unsaved drawing, with the version that it is based on in ``X-Base``."""
    corrections = _admitted(request, case_id, token).corrections
    draft = corrections.drafts.of_browser(case_id, _who(request), drawing)
    if draft is None:
        return Response(status_code=204, headers=_NEVER_KEPT)
    headers = {"X-Base": str(draft.base), "X-At": draft.at, "X-Drawing": draft.drawing}
    return Response(draft.labels, headers=headers | _NEVER_KEPT, media_type="application/gzip")


def _keep_draft(
    request: Request,
    case_id: str,
    token: str,
    labels: Annotated[bytes, Body(media_type="application/gzip")],
    case: Annotated[str, Query()],
    grid: Annotated[str, Query()],
    base: Annotated[int, Query(ge=0)],
    drawing: Annotated[str, Query(pattern=_DRAWING)] = "",
    replaces: Annotated[str, Query(pattern=_DRAWING)] = "",
) -> None:
    """Keep a draft: labels as gzip, or as runs from a page that is being closed."""
    corrections = _admitted(request, case_id, token).corrections
    corrections.check_is_of(case_id, case, grid)
    if request.headers.get("content-type") == RUNS:
        labels = packed_of(labels, corrections.voxel_count(case_id))
    corrections.drafts.keep(case_id, _who(request), labels, base, drawing, replaces)


def _drop_draft(
    request: Request,
    case_id: str,
    token: str,
    case: Annotated[str, Query()],
    drawing: Annotated[str, Query(pattern=_DRAWING)] = "",
    replaces: Annotated[str, Query(pattern=_DRAWING)] = "",
) -> None:
    corrections = _admitted(request, case_id, token).corrections
    corrections.check_is_of(case_id, case)
    for which in dict.fromkeys((drawing, *([replaces] if replaces else []))):
        corrections.drafts.drop(case_id, _who(request), which)


def _who(request: Request) -> str:
    """The key of a browser's drafts: derived from its cookie, which itself opens links.

    Where people sign in, from the account too: two who share a browser have drafts of their own.
    """
    who = actor()
    account = "" if who.role == "nobody" else f".{who.id}"
    return hashlib.sha256(f"{request.cookies[visitor.COOKIE]}{account}".encode()).hexdigest()


def _admitted(request: Request, case_id: str, token: str, onto: str = "") -> Services:
    """The services, if the link was made for this browser and the case, or both, exist."""
    shared = held_by(request)
    if actor().role == "service":  # whatever its scopes let it ask of all cases together
        shared.accounts.guard.refused("see")
        raise ForbiddenError("A token opens no case", "Sign in on /sign-in to look at it.")
    who = request.cookies.get(visitor.COOKIE)
    if not visitor.may_see(shared.link_secret, who, case_id + onto, token):
        raise NotFoundError("There is no such image", "Open the case on its page.")
    for each in filter(None, (case_id, onto)):
        shared.cases.get(each)
        shared.cases.acts.lines.viewed(each)
    return shared


def _admitted_to_both(request: Request, case_id: str, onto: str, token: str) -> Displays:
    return Displays(_admitted(request, case_id, token, onto).viewer_files)


def _scan(request: Request, case_id: str, token: str) -> Response:
    return _sent(_admitted(request, case_id, token).viewer_files.scan(case_id), request.headers)


def _mask(request: Request, case_id: str, token: str, version: Version) -> Response:
    file = _admitted(request, case_id, token).viewer_files.mask(case_id, version)
    return _sent(file, request.headers)


def _sent(file: ViewerFile, asked: Headers) -> Response:
    """The file, or that the browser has it already.

    Parameters
    ----------
    asked
        The request's.
    """
    answer = _OpenFileResponse(file.file, {"ETag": file.etag, "Cache-Control": _FOR_THIS_BROWSER})
    if StaticFiles().is_not_modified(answer.headers, asked):
        file.file.close()
        return NotModifiedResponse(answer.headers)
    return answer


class _OpenFileResponse(FileResponse):
    """Sends an open file, even if its name is deleted meanwhile, and closes it.

    By hand, as Starlette opens a file by its name.
    """

    def __init__(self, file: BinaryIO, headers: dict[str, str]) -> None:
        super().__init__(
            f"/dev/fd/{file.fileno()}", headers=headers, media_type="application/gzip",
            stat_result=os.fstat(file.fileno()),
        )  # fmt: skip
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `FileResponse`."""
        with self._file:
            await super().__call__(scope, receive, send)
