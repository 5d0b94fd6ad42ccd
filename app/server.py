"""One server for the pages and the API: Streamlit's app with the API mounted at /api."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from loguru import logger
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from streamlit import runtime
from streamlit.file_util import get_static_dir

from app import page_sessions
from app.allocator import give_memory_back
from app.background import start
from app.door import Door, actor_of_page
from app.downloads import forget_downloads, keep_downloads
from app.http import sign_in
from app.http.api import make_api
from app.http.bodies import Bodies, kinds_of_bodies
from app.http.guard import AccountRates, Guard, Hosts
from app.http.headers import Headers, script_hashes
from app.http.sign_in_page import FIRST
from app.http.visitor import VisitorCookie
from app.logs import RequestIds, take_over_of_libraries
from app.page_uploads import PageUploads
from app.receiving import Receiving
from app.returning import Returning
from app.rules import RulesWatch
from app.services import build_services
from app.stopping import when_told_to_stop
from app.views import connection, dropping, focus, waiting
from app.views.shared import services
from core.errors import AccessError, ForbiddenError
from core.limits import MIB
from core.people.acting import ask_where_unsaid
from core.people.limits import SHORT_PASSWORD_CHARS
from core.people.refusals import refusals_of
from core.settings import Settings, listed, variable_of
from core.upkeep.certificates import check_pair
from core.web_limits import PAGE_UPLOAD_PATIENCE_S, PAGE_UPLOADS_AT_ONCE, PAGE_UPLOADS_MIB

ROOT = Path(__file__).resolve().parent.parent


class _Guarded(st.App):
    """The app behind its guard, which also sets the headers of what Starlette answers itself."""

    guard: RequestIds

    def guard_by(self, settings: Settings) -> None:
        """Put the guard in front."""
        page = (Path(get_static_dir()) / "index.html").read_text("utf-8")
        own = (part.script() for part in (connection, dropping, focus, waiting))
        scripts = script_hashes((page, *own))
        guard = Guard(
            super().__call__,
            hosts=Hosts(listed(settings.hosts), on_loopback=settings.on_loopback),
            headers=Headers(scripts),
            per_minute=settings.requests_per_minute,
        )
        self.guard = RequestIds(guard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self.guard(scope, receive, send)


def build(settings: Settings) -> st.App:
    """The app, not yet running. Loading the model begins with the server.

    Raises
    ------
    HippoViewError
        The storage cannot be used, or a setting.
    """
    shared = services(build_services(settings))
    ask_where_unsaid(partial(actor_of_page, shared))
    upload_bytes = settings.max_upload_mib * MIB
    bodies = kinds_of_bodies(upload_bytes, settings.queue_size, shared.incoming)
    page_bytes = upload_bytes + MIB  # as Streamlit allows for the form around a file
    page_bodies = Bodies(
        PAGE_UPLOADS_AT_ONCE, page_bytes, PAGE_UPLOADS_AT_ONCE * page_bytes,
        (Path(tempfile.gettempdir()),),
    )  # fmt: skip

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        further = [("rules", RulesWatch(shared).tick)]
        if settings.receiver_peers:
            returning = Returning(shared)
            further += [
                ("received studies", Receiving(shared, returning.add).tick),
                ("results for the PACS", returning.tick),
            ]
        downloads = runtime.get_instance().media_file_mgr
        keep_downloads(downloads)
        start(shared, *further, ("downloads", partial(forget_downloads, downloads)))
        if settings.log == "json":
            take_over_of_libraries()
        when_told_to_stop(shared.predictors.end_queues)
        yield {}
        refusals_of(shared.cases.acts.engine).close()
        shared.archive.close()
        shared.shadow.close()
        shared.predictors.close()

    app = _Guarded(
        ROOT / "app" / "main.py",
        lifespan=lifespan,
        routes=[Mount("/api", app=make_api(bodies, shared)), *sign_in.routes(shared)],
        middleware=[
            Middleware(Door, shared=shared),
            Middleware(AccountRates, per_minute=settings.requests_per_minute),
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
    app.guard_by(settings)
    return app


def run(settings: Settings) -> None:
    """Serve until stopped.

    Raises
    ------
    HippoViewError
        The storage or the certificate cannot be used; nothing was served.
    """
    has_tls = bool(settings.tls_certificate)
    if has_tls:
        pair = ("tls_certificate", "tls_key")
        check_pair(settings.tls_certificate, settings.tls_key, pair)
    # uvicorn's own variable, which it reads by itself: whose X-Forwarded-For and -Proto count.
    os.environ["FORWARDED_ALLOW_IPS"] = settings.trusted_proxies
    give_memory_back()
    app = build(settings)
    scheme = "https" if has_tls else "http"
    logger.info("HippoView serves on {}://{}:{}", scheme, settings.address, settings.port)
    if not settings.on_loopback:
        logger.info("It listens beyond this machine: who reaches it has to sign in")
        if not has_tls and not settings.trusted_proxies:
            logger.warning(
                "Scans and passwords cross the network in clear: set {}, or {} if a proxy does TLS",
                variable_of("tls_certificate"),
                variable_of("trusted_proxies"),
            )
        if not settings.hosts:
            logger.warning("Any name that leads here is answered: set {}", variable_of("hosts"))
    if code := services().accounts.first_code():
        logger.warning(
            "No accounts: everything is open on this machine. To have people sign in, open "
            "{}://{}:{}{} and type the code {}",
            scheme, settings.address, settings.port, FIRST, code,
        )  # fmt: skip
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
            "server.sslCertFile": settings.tls_certificate or None,
            "server.sslKeyFile": settings.tls_key or None,
            "server.maxUploadSize": settings.max_upload_mib,
            "server.fileWatcherType": "none",
            "server.trustedUserHeaders": page_sessions.COMPARED,
            "browser.gatherUsageStats": False,
            "logger.hideWelcomeMessage": settings.log == "json",
            "client.toolbarMode": "viewer",
            # A table's own CSV has names as formulas and leaves no line in the trail; ours do not.
            "client.disableDataExport": True,
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
        }
    )


def _log_script_error(error: Exception) -> bool:
    if isinstance(error, (AccessError, ForbiddenError)):  # the sign-in ended as the page was drawn
        st.info(f"{error.message}. {error.hint}", icon=":material/lock:")
        return True
    logger.opt(exception=error).error("A page failed for a reason that nobody foresaw")
    st.error(
        "This page failed. Reload it; if it fails again, tell the administrator the time of "
        "this message."
    )
    return True
