"""The security headers of every answer: what a browser may do with it."""

import base64
import hashlib
import re
from collections.abc import Iterable

# Inline scripts of a page; those with a source are covered by 'self'.
_INLINE_SCRIPT = re.compile(r"<script(?:\s+type=[^\s>]+)?\s*>(.*?)</script>", re.DOTALL)
# Paths whose answers are data: nothing in them is ever run, drawn or framed.
_API = "/api/"
_MEDIA = "/media/"
_DATA = (_API, _MEDIA, "/_stcore/", "/component/")
_YEAR_S = 365 * 24 * 3600

# Of every answer. Not `no-referrer`: a form sent under it carries the origin `null`, which no check
# of origins can tell from another site's.
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_DATA_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)


def script_hashes(pages: Iterable[str]) -> tuple[str, ...]:
    """The sources that allow exactly the inline scripts of these pages, such as ``'sha256-...'``.

    Parameters
    ----------
    pages
        HTML.
    """
    scripts = {script for page in pages for script in _INLINE_SCRIPT.findall(page)}
    digests = (hashlib.sha256(script.encode()).digest() for script in sorted(scripts))
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def page_policy(inline_scripts: Iterable[str] = ()) -> str:
    """The Content-Security-Policy of a page.

    Inline styles are Streamlit's way of styling and cannot be listed: they are made while the page
    runs. Scripts run from this server alone, from `inline_scripts`, and from blobs, which only a
    script that runs already can make: Streamlit loads its components so. NiiVue unpacks gzip in a
    worker and some formats with WebAssembly.

    Parameters
    ----------
    inline_scripts
        See `script_hashes`.
    """
    scripts = " ".join(("'self'", "blob:", "'wasm-unsafe-eval'", *inline_scripts))
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "media-src 'self' data: blob:",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Headers:
    """The headers that an answer gets, by its path and the scheme of the request.

    Parameters
    ----------
    inline_scripts
        Of the pages, as `script_hashes` gives them.
    """

    def __init__(self, inline_scripts: Iterable[str] = ()) -> None:
        self._page_policy = page_policy(inline_scripts)

    def of(self, path: str, *, is_https: bool) -> dict[str, str]:
        """The headers of an answer; where the answer has one of them itself, that one holds.

        Parameters
        ----------
        is_https
            Whether the browser came by TLS; only then may it be told to come by TLS only.
        """
        policy = _DATA_POLICY if path.startswith(_DATA) else self._page_policy
        headers = _ALWAYS | {"Content-Security-Policy": policy}
        if path.startswith((_API, _MEDIA)):  # pictures and downloads of the pages
            headers["Cache-Control"] = "no-store"
        if is_https:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"
        return headers
