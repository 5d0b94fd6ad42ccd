"""A server whose cases the test adds and looks into, and a network that it holds back."""

import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.http.visitor import COOKIE
from core.cases.corrections import Corrections
from core.cases.store import Cases
from core.pipeline import Analysis, analyse
from core.predictor.predictor import Predictor
from core.state.database import connect
from core.state.storage import LocalStorage
from tests.browser.test_correcting import LEFT, RIGHT, begin
from tests.browser.user import LONG, User
from tests.scans import as_bytes, example, stream


class House:
    """A running server, and what it keeps."""

    def __init__(self, url: str, folder: Path, predictor: Predictor) -> None:
        engine, storage = connect(folder), LocalStorage(folder / "storage")
        self.url, self.engine = url, engine
        self.cases = Cases(engine, storage)
        self.corrections = Corrections(engine, storage, self.cases)
        self._folder, self._predictor = folder, predictor

    @cached_property
    def crop(self) -> Analysis:
        """The example, segmented."""
        return self.analysis(example())

    def analysis(self, scan: nib.Nifti1Image) -> Analysis:
        return analyse(stream(as_bytes(scan)), self._predictor, self._folder)

    def add(self, *names: str) -> list[str]:
        """Crops, the last named the newest."""
        return [self.cases.add(self.crop, name).id for name in names]

    def labels(self, case_id: str, version: int | None = None) -> np.ndarray:
        return self.cases.images(case_id, version).labels

    def versions(self, case_id: str) -> int:
        return self.cases.get(case_id).mask_version

    def draft(self, context: BrowserContext, case_id: str) -> np.ndarray | None:
        """What the server keeps of what this browser drew, in RAS+."""
        cookie = next(c["value"] for c in context.cookies() if c["name"] == COOKIE)
        who = hashlib.sha256(cookie.encode()).hexdigest()
        draft = self.corrections.drafts.of_browser(case_id, who)
        return None if draft is None else unpacked(draft.labels, self.labels(case_id).shape)


def listen_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Go on taking in what the browser reports until something has been reported."""
    deadline = time.monotonic() + LONG / 1000
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError("the browser never reported it")
        page.evaluate("0")


class Held:
    """Requests that wait on their way until the test lets them go."""

    def __init__(self, person: User, pattern: str, method: str = "GET") -> None:
        self.routes: list[Route] = []
        self._page, self._method, self._is_open = person.page, method, False
        person.page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        if self._is_open or route.request.method != self._method:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self) -> None:
        listen_until(self._page, lambda: bool(self.routes))

    def let_go(self) -> None:
        self._is_open = True
        for route in self.routes:
            route.continue_()


class Line:
    """The page's line to Streamlit: what the server says can be held back."""

    def __init__(self, person: User) -> None:
        self._held: list[bytes | str] | None = None
        self._page = person.page
        self.scripts = 0  # that the server has run to their end
        person.page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        self._socket = socket
        socket.on_message(server.send)
        server.on_message(self._from_server)

    def _from_server(self, message: bytes | str) -> None:
        self.scripts += ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"
        if self._held is None:
            self._socket.send(message)
        else:
            self._held.append(message)

    @contextmanager
    def runs_a_script(self) -> Iterator[None]:
        """Wait until what is done within has run the page to its end, seen or not."""
        before = self.scripts
        yield
        listen_until(self._page, lambda: self.scripts > before)

    def hold(self) -> None:
        self._held = []

    def let_go(self) -> None:
        held, self._held = self._held or [], None
        for message in held:
            self._socket.send(message)


def unpacked(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(gzip.decompress(packed), np.uint8).reshape(shape, order="F")


def see(person: User, case_id: str) -> None:
    person.open(f"/cases?case={case_id}")
    expect(person.viewer).to_have_attribute("data-case", case_id)


def ask_to_save(person: User, author: str) -> None:
    person.viewer.focus()
    person.page.keyboard.press("Control+s")
    person.viewer.locator("form").get_by_label("Your name").fill(author)
    person.page.keyboard.press("Enter")


def drawing(person: User) -> None:
    begin(person)
    person.draw(LEFT, RIGHT)
    person.kept("Draft kept")
