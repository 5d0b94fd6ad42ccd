"""``POST /api/drift``: the scans of another site, and in what state they are."""

from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, File, Form, Request, UploadFile

from app.http.bodies import BoundedRoute, refuse_repeated
from app.http.held import Held
from core.drift.sites import check_site, features_in
from core.errors import InputError
from core.pipeline import Caller

# Scans of other sites that are worked on at once: the clinicians' own come first.
_AT_ONCE = CapacityLimiter(2)


def router() -> APIRouter:
    """The route."""
    routes = APIRouter(route_class=BoundedRoute)
    routes.post("/drift")(drift)
    return routes


async def drift(
    request: Request,
    shared: Held,
    site: Annotated[
        str, Form(description="Name of the site: 1 to 32 small letters, figures and hyphens")
    ],
    features: Annotated[
        str | None,
        Form(
            description="JSON list of objects, a scan each: the features that this address "
            "answered an image with, or that python -m core drift --json wrote"
        ),
    ] = None,
    image: Annotated[
        UploadFile | None,
        File(description="Or one scan; a token needs the scope segment for it as well"),
    ] = None,
) -> dict[str, Any]:
    """Add scans of another site to its own chain of drift, and say in what state it is.

    A scan counts once, however often it is sent. Of a scan only scores are kept.
    """
    shared.accounts.guard.require("sites")
    refuse_repeated((await request.form()).multi_items(), ("site", "features", "image"))
    if (features is None) == (image is None):
        raise InputError("Either features or image is needed", "Send one of both.",
                         code="bad_request")  # fmt: skip
    check_site(site)
    if image is None:
        scans = features_in(features or "")
    else:
        caller = Caller(user=request.client.host if request.client else "")
        work = partial(shared.analyse, image.file, "site", caller)
        analysis = await to_thread.run_sync(work, limiter=_AT_ONCE)
        scans = [analysis.features]
    states = await to_thread.run_sync(shared.outside.sites.add_all, site, scans, limiter=_AT_ONCE)
    answer = {
        "site": site,
        "added": sum(count for _, count in states),
        "states": [state.as_dict() for state, _ in states],
    }
    return answer if image is None else answer | {"features": scans[0]}
