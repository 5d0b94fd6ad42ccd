"""The log: lines of text or of JSON, and which request each belongs to."""

import json
import logging
import re
import secrets
import sys
from typing import TYPE_CHECKING

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics

if TYPE_CHECKING:
    from loguru import Message as Line
    from loguru import Record

HEADER = "X-Request-ID"
# Figures and letters of an id, a UUID or a trace: no name of a person can be written in them.
_WELL_FORMED = re.compile(r"[0-9a-f][0-9a-f-]{14,62}[0-9a-f]", re.ASCII | re.IGNORECASE)
_REQUEST = "request"


def set_up_log(level: str, form: str) -> None:
    """Log to stderr.

    Parameters
    ----------
    level
        Such as ``INFO``.
    form
        ``text``: time, level, what happened. ``json``: an object a line, those of the libraries
        below us as well.
    """
    logger.remove()
    if form == "json":
        logger.add(_write_json, level=level, format="{message}", backtrace=False, diagnose=False)
        take_over_of_libraries()
    else:
        logger.add(sys.stderr, level=level, format=_text_of, backtrace=False, diagnose=False)
    metrics.count_log_lines()


class RequestIds:
    """Gives each request an id, or takes its sender's, and answers with it.

    Parameters
    ----------
    app
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        identifier = _id_of(Headers(scope=scope).get(HEADER, ""))

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = identifier
            await send(message)

        with logger.contextualize(**{_REQUEST: identifier}):
            await self._app(scope, receive, with_id)


def _id_of(sent: str) -> str:
    return sent if _WELL_FORMED.fullmatch(sent) else secrets.token_hex(16)


def _text_of(record: "Record") -> str:
    request = " ({extra[request]})" if _REQUEST in record["extra"] else ""
    return f"{{time:YYYY-MM-DD HH:mm:ss}} {{level:7}} {{message}}{request}\n{{exception}}"


def _write_json(line: "Line") -> None:
    record = line.record
    told = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        # The line as loguru formats it: the message, and the traceback without any values.
        told["exception"] = str(line).partition("\n")[2]
    sys.stderr.write(f"{json.dumps(told, default=str)}\n")


class _HandOn(logging.Handler):
    """Lines of Streamlit and uvicorn, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "INFO"
        logger.opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def take_over_of_libraries() -> None:
    """Have the lines of Streamlit and uvicorn come through ours; again once these have begun."""
    logging.basicConfig(handlers=[_HandOn()], level=logging.WARNING, force=True)
    for name in _library_loggers():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


def _library_loggers() -> list[str]:
    """Those that exist: Streamlit gives each of its own, and uvicorn's two, a handler."""
    known = {"streamlit", "uvicorn", *logging.root.manager.loggerDict}
    return [name for name in known if name.partition(".")[0] in ("streamlit", "uvicorn")]
