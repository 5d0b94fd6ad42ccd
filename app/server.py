"""One server for the pages and the API: Streamlit's app with the API mounted at /api."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from loguru import logger
from starlette.middleware import Middleware
from starlette.routing import Mount

from app.allocator import give_memory_back
from app.http import sign_in
from app.http.api import make_api
from app.http.bodies import Bodies, kinds_of_bodies
from app.http.visitor import VisitorCookie
from app.page_uploads import PageUploads
from app.rules import RulesWatch
from app.services import build_services, start
from app.views.shared import services
from core.limits import (
    MIB,
    PAGE_UPLOAD_PATIENCE_S,
    PAGE_UPLOADS_AT_ONCE,
    PAGE_UPLOADS_MIB,
    SHORT_PASSWORD_CHARS,
)
from core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def build(settings: Settings) -> st.App:
    """The app, not yet running. Loading the model begins with the server.

    Raises
    ------
    HippoViewError
        The storage cannot be used, or a setting.
    """
    shared = services(build_services(settings))
    upload_bytes = settings.max_upload_mib * MIB
    bodies = kinds_of_bodies(upload_bytes, settings.queue_size, shared.incoming)
    page_bytes = upload_bytes + MIB  # as Streamlit allows for the form around a file
    page_bodies = Bodies(
        PAGE_UPLOADS_AT_ONCE, page_bytes, PAGE_UPLOADS_AT_ONCE * page_bytes,
        (Path(tempfile.gettempdir()),),
    )  # fmt: skip

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        start(shared, ("rules", RulesWatch(shared).tick))
        yield {}
        shared.shadow.close()
        shared.predictors.close()

    return st.App(
        ROOT / "app" / "main.py",
        lifespan=lifespan,
        routes=[Mount("/api", app=make_api(bodies, shared)), *sign_in.routes(shared)],
        middleware=[
            Middleware(VisitorCookie),
            Middleware(
                PageUploads,
                bodies=page_bodies,
                most_held_bytes=PAGE_UPLOADS_MIB * MIB,
                patience_s=PAGE_UPLOAD_PATIENCE_S,
            ),
        ],
        on_script_error=_log_script_error,
    )


def run(settings: Settings) -> None:
    """Serve until stopped.

    Raises
    ------
    HippoViewError
        The storage cannot be used; nothing was served.
    """
    give_memory_back()
    app = build(settings)
    logger.info("HippoView serves on http://{}:{}", settings.address, settings.port)
    if not settings.on_loopback:
        logger.warning("It listens beyond this machine: whoever reaches it sees all cases")
    if 0 < len(settings.admin_password) < SHORT_PASSWORD_CHARS:
        logger.warning(
            "HIPPOVIEW_ADMIN_PASSWORD has fewer than {} characters: choose a longer one",
            SHORT_PASSWORD_CHARS,
        )
    app.run(
        config={
            "server.port": settings.port,
            "server.address": settings.address,
            "server.headless": True,
            "server.maxUploadSize": settings.max_upload_mib,
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "viewer",
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
        }
    )


def set_up_log(level: str) -> None:
    """Log to stderr: time, level, what happened."""
    logger.remove()
    logger.add(sys.stderr, level=level, format="{time:YYYY-MM-DD HH:mm:ss} {level:7} {message}",
               backtrace=False, diagnose=False)  # fmt: skip


def _log_script_error(error: Exception) -> bool:
    logger.opt(exception=error).error("A page failed for a reason that nobody foresaw")
    st.error(
        "This page failed. Reload it; if it fails again, tell the administrator the time of "
        "this message."
    )
    return True
