"""The REST API. Every error has one shape: ``{"error": {"code", "message", "hint"}}``."""

import asyncio
import functools
import threading
from functools import partial
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, File, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from loguru import logger
from starlette.exceptions import HTTPException

from app import metrics, monitoring
from app.http import administration, sites, viewer_files
from app.http.bodies import Bodies, BoundedRoute, SlowBodyError, refuse_repeated
from app.http.documented import RESPONSES
from app.http.headers import page_policy, script_hashes
from app.http.held import Held
from app.operations import cases_health
from app.services import Services
from core.anatomy import NOTICE
from core.cases.case import confidence_of
from core.cases.side_labels import sides_file
from core.errors import (
    AccessError,
    BusyError,
    ComputeError,
    ConflictError,
    DeviceError,
    ForbiddenError,
    GoneError,
    HippoViewError,
    InputError,
    ModelError,
    NotFoundError,
    PacsError,
    ProviderError,
    StorageError,
    TooLargeError,
    TrainingError,
)
from core.measures.measure import why_too_small
from core.people.acting import actor
from core.people.sign_ins import TooManyTriesError
from core.pipeline import Analysis, Caller
from core.web_limits import MAX_FORM_FIELDS, MAX_FORM_FILES

_LOADING_RETRY_S = 10
_REFUSED_AT_ONCE = 32
_STATUS: tuple[tuple[type[HippoViewError], int], ...] = (
    (TooLargeError, 413),
    (SlowBodyError, 408),
    (InputError, 422),
    (DeviceError, 422),
    (NotFoundError, 404),
    (TooManyTriesError, 429),
    (AccessError, 401),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (TrainingError, 422),
    (StorageError, 503),
    (PacsError, 503),
    (ProviderError, 503),
    (BusyError, 503),
    (ModelError, 503),
    (ComputeError, 503),
    (GoneError, 503),
)
_DESCRIPTION = f"""Anterior and posterior hippocampus in T1-weighted heads and crops. {NOTICE}

    curl -F image=@scan.nii.gz http://127.0.0.1:8501/api/predict -o mask.nii.gz
"""


def make_api(bodies: dict[str, Bodies], shared: Services) -> FastAPI:
    """The API, to be mounted at ``/api``.

    Parameters
    ----------
    bodies
        See `app.http.bodies.kinds_of_bodies`.
    shared
    """
    api = FastAPIOffline(
        docs_url=None, redoc_url=None, title="HippoView", description=_DESCRIPTION, version="0.1.0",
        responses=RESPONSES,
        form_limits={"max_files": MAX_FORM_FILES, "max_fields": MAX_FORM_FIELDS},
    )  # fmt: skip
    api.state.bodies = bodies
    api.state.services = shared
    api.router.route_class = BoundedRoute
    api.add_exception_handler(HippoViewError, _on_known_error)
    api.add_exception_handler(RequestValidationError, _on_bad_request)
    api.add_exception_handler(HTTPException, _on_http_error)
    api.add_exception_handler(Exception, _on_unknown_error)
    api.get("/docs", include_in_schema=False)(docs)
    api.get("/live")(live)
    api.get("/health")(health)
    api.get("/me")(me)
    api.get("/metrics", response_class=Response)(prometheus)
    api.post(
        "/predict",
        response_class=Response,
        responses={
            200: {
                "content": {
                    "application/gzip": {},
                    "application/json": {},
                    "application/dicom": {},
                    "application/zip": {},
                },
                "description": "The mask (.nii.gz), the measures for Accept: application/json, or "
                "what format asks for.",
            },
        },
    )(predict)
    api.include_router(sites.router())
    api.include_router(administration.router())
    api.include_router(viewer_files.router())
    return api


def docs(request: Request) -> HTMLResponse:
    """The interactive page of the API. Its own inline script runs, and no other."""
    root = request.scope.get("root_path", "")
    files = f"{root}/static-offline-docs"
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=f"{request.app.title}: API",
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon.png",
    )
    policy = page_policy(script_hashes([bytes(page.body).decode()]))
    page.headers["Content-Security-Policy"] = policy
    return page


async def live() -> Response:
    """Whether the process answers. It asks for no model, no storage, no database and no thread."""
    return JSONResponse({"status": "alive"})


def health(shared: Held) -> Response:
    """Whether the model can serve, and what it is.

    How many cases there are, how busy the server is and how it computes, is told to those alone
    who may see it: everybody where there are no accounts, else an administrator.
    """
    serving = shared.predictors.serving
    inside: dict[str, Any] = {}
    if shared.accounts.guard.may("watch"):
        inside["cases"] = cases_health(shared)
        if serving is not None:
            inside |= {**serving.as_dict(), "waiting": serving.waiting}
    if serving is None:
        failure = shared.predictors.failure
        body = _loading().as_dict() if failure is None else failure.as_dict()
        status = "loading" if failure is None else "failed"
        nothing = {"ready": False, "model": None, "device": None, "backend": None}
        return JSONResponse(
            {"status": status, **nothing, **inside, **body}, 503,
            {"Retry-After": str(_LOADING_RETRY_S)},
        )  # fmt: skip
    return JSONResponse(
        {
            "status": "ok",
            "ready": True,
            "model": serving.model.as_dict(),
            "device": serving.network.device,
            "backend": serving.network.backend,
            **inside,
            "notice": NOTICE,
        }
    )


async def predict(
    request: Request,
    shared: Held,
    image: Annotated[
        UploadFile, File(description="One 3-D scan: .nii, .nii.gz, or a .zip of DICOM")
    ],
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Query(description="Where the network runs")
    ] = "auto",
    labels: Annotated[
        Literal["parts", "sides"],
        Query(description="sides: of a head, 1 and 2 left, 3 and 4 right anterior and posterior"),
    ] = "parts",
    series: Annotated[
        str, Query(description="UID of the DICOM series, where the zip has several", max_length=64)
    ] = "",
    form: Annotated[
        Literal["nifti", "seg", "sr", "pdf", "zip"],
        Query(
            alias="format",
            description="Of a DICOM series: nifti, a DICOM Segmentation, a structured report, the "
            "report as an encapsulated PDF, or a zip of the three",
        ),
    ] = "nifti",
) -> Response:
    """Segment one scan, a whole head or a crop.

    Nothing of it is kept on the server, unless its HIPPOVIEW_KEEP_API says so: X-Kept, and ``kept``
    of the JSON, say what was.

    The mask lies on the scan's own grid and affine: 0 background, 1 anterior, 2 posterior.
    """
    shared.accounts.guard.require("segment")
    refuse_repeated((await request.form()).multi_items(), ("image",))
    refuse_repeated(request.query_params.multi_items(), ("device", "labels", "series", "format"))
    if shared.predictors.serving is None and shared.predictors.failure is None:
        raise _loading()
    analysis = await _analysis(request, shared, image, device, series)
    headers = {
        "X-Model-Version": analysis.segmentation.model.version,
        "X-Anterior-Mm3": f"{analysis.measures.anterior.volume_mm3:.1f}",
        "X-Posterior-Mm3": f"{analysis.measures.posterior.volume_mm3:.1f}",
        "X-Warnings": ",".join(f.code for f in analysis.findings if f.level == "warning"),
        "X-Notice": NOTICE,
        "X-Kept": kept_words(analysis.kept),
    }
    if remark := why_too_small(analysis.measures.as_dict()):
        headers["X-Volume-Remark"] = remark
    if confidence := confidence_of(analysis.as_dict()):
        headers["X-Confidence"] = confidence
    if expected := analysis.trust["expected_dice"]:
        headers["X-Expected-Dice"] = f"{expected['whole']:.2f}"
    head = analysis.segmentation.head
    if head is not None:
        for side, parts in analysis.measures.sides.items():
            headers[f"X-{side.capitalize()}-Mm3"] = f"{parts['total'].volume_mm3:.1f}"
    if form != "nifti":
        all_frames = shared.settings.seg_frames == "all"
        content = await to_thread.run_sync(partial(_dicom_object, analysis, form, all_frames))
        name, kind = ("dicom.zip", "zip") if form == "zip" else (f"{form}.dcm", "dicom")
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return Response(content, media_type=f"application/{kind}", headers=headers)
    if _wants_json(request.headers.get("accept", "")):
        record = analysis.as_dict()
        further = {"confidence": confidence_of(record), "kept": analysis.kept}
        return JSONResponse(record | further, headers=headers)
    headers["Content-Disposition"] = 'attachment; filename="mask.nii.gz"'
    mask = analysis.mask_file
    if labels == "sides":
        mask = await to_thread.run_sync(_sides_file, analysis)
    return Response(mask, media_type="application/gzip", headers=headers)


def kept_words(kept: dict[str, Any]) -> str:
    """What the server keeps of a scan, as the header says it.

    >>> kept_words({"kept": "case", "case_id": "HV-ABC234", "days": 90})
    'case HV-ABC234; days=90'
    >>> kept_words({"kept": "nothing", "days": None})
    'nothing'
    """
    words = " ".join(filter(None, (kept["kept"], kept.get("case_id"))))
    return f"{words}; days={kept['days']}" if kept["days"] else words


def _dicom_object(
    analysis: Analysis, kind: Literal["seg", "sr", "pdf", "zip"], all_frames: bool
) -> bytes:
    # highdicom takes seconds to import: only who asks for it waits.
    from core.exports.dicom_case import analysis_object

    return analysis_object(analysis, kind, empty_frames=all_frames)


def _sides_file(analysis: Analysis) -> bytes:
    segmentation = analysis.segmentation
    if segmentation.head is None:
        raise InputError(
            "The side of a crop is not known", "Send a whole head, or ask for labels=parts.",
            code="no_sides",
        )  # fmt: skip
    volume = segmentation.volume
    head = segmentation.head.as_dict()
    return sides_file(segmentation.labels, volume.affine, volume.header, head)


async def _analysis(
    request: Request, shared: Services, image: UploadFile, device: str, series: str
) -> Analysis:
    """Analyse on a thread; a client that hangs up frees its place in the queue."""
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    user = request.client.host if request.client else ""
    caller = Caller(user=user, gone=gone.is_set)
    work = partial(shared.analyse, image.file, "api", caller, device=device, series=series)
    watcher = asyncio.create_task(watch())
    try:
        # Those that wait must not take the threads of the other routes.
        return await to_thread.run_sync(work, limiter=_threads(shared.settings.queue_size))
    finally:
        watcher.cancel()


@functools.cache
def _threads(queue_size: int) -> CapacityLimiter:
    """Threads for all requests that wait, and for those that are refused by a full queue."""
    return CapacityLimiter(queue_size + _REFUSED_AT_ONCE)


def me() -> Response:
    """Who asks: the name and the role of the sign-in or the token. 401 where there is none."""
    who = actor()
    return JSONResponse({"name": who.name, "role": who.role}, headers={"Cache-Control": "no-store"})


def prometheus(shared: Held) -> Response:
    """Counters, timings and states in Prometheus's text format."""
    shared.accounts.guard.require("metrics")
    return Response(
        metrics.text() + monitoring.text(shared),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _loading() -> ModelError:
    return ModelError(
        "The model is being loaded",
        f"Try again in about {_LOADING_RETRY_S} seconds.",
        code="model_loading",
    )


def _wants_json(accept: str) -> bool:
    return "application/json" in accept and "application/gzip" not in accept


def _answer(error: HippoViewError) -> JSONResponse:
    status = next((s for kind, s in _STATUS if isinstance(error, kind)), 500)
    headers = {}
    if status in (429, 503):
        wait_s = getattr(error, "retry_after_s", _LOADING_RETRY_S)
        headers["Retry-After"] = str(wait_s)
    return JSONResponse(error.as_dict(), status, headers)


async def _on_known_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HippoViewError):
        raise error
    return _answer(error)


async def _on_bad_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    fields = {str(e["loc"][-1]) for e in error.errors()}
    if "image" in fields:
        message = "The form field image holds no file"
        hint = "Send the scan as multipart/form-data: curl -F image=@scan.nii.gz ..."
    else:
        message = f"Not understood: {', '.join(sorted(fields))}"
        hint = "See /api/docs for what this address takes."
    return JSONResponse(InputError(message, hint, code="bad_request").as_dict(), 422)


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    codes = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
    shape = HippoViewError(
        str(error.detail),
        "See /api/docs for the addresses and what they take.",
        code=codes.get(error.status_code, "http_error"),
    )
    return JSONResponse(shape.as_dict(), error.status_code, error.headers)


async def _on_unknown_error(request: Request, error: Exception) -> Response:
    logger.opt(exception=error).error("An API call failed for a reason that nobody foresaw")
    shape = HippoViewError(
        "The server failed on this request",
        "Try again; if it fails again, tell the administrator the time of this message.",
        code="internal",
    )
    return JSONResponse(shape.as_dict(), 500)
