"""``python -m scripts.site.pictures [NAME ...]``: make the pictures of the documentation anew.

A server with the averaged brain of the nilearn package and nobody's scan, looked at in Chromium at
1280 px, in light colours. Every picture is under 150 kB: a test asks for it. It takes a minute and
a half on two cores, and needs what `make test` needs.
"""

import io
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect, sync_playwright

from core.cases.study import Study, type_study
from core.models.folder import opened
from core.people.accounts import Accounts
from core.people.acting import SERVER, acting_as
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.settings import ROOT, Settings
from tests.browser.conftest import _FLAGS, browser_path
from tests.browser.house import House, see
from tests.browser.test_correcting import begin
from tests.browser.user import LONG, User
from tests.scans import example, image, template_head
from tests.server import running

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 150_000
_COLOURS = (256, 160, 96, 64)  # as many as the size allows
_BRIGHT = 90
_PASSWORD = "a long enough password"  # noqa: S105 - of a server that ends with this script


class Camera:
    """Takes the pictures that were asked for, or all."""

    def __init__(self, user: User, names: list[str]) -> None:
        self.user, self._names = user, names

    def take(self, name: str, part: Locator | None = None, height: int = 800) -> None:
        """Take the page as it stands, or one part of it."""
        if self._names and name not in self._names:
            return
        page = self.user.page
        self.user.settle()
        page.wait_for_load_state("networkidle")
        page.mouse.move(1270, 5)
        page.wait_for_timeout(700)  # Streamlit fades in what it draws
        shot = part.screenshot() if part else page.screenshot(clip=_clip(height))
        picture = Image.open(io.BytesIO(shot)).convert("RGB")
        file = FOLDER / f"{name}.png"
        for colours in _COLOURS:
            _few_colours(picture, colours).save(file, optimize=True)
            if file.stat().st_size < MOST_BYTES:
                break
        sys.stdout.write(f"{name}: {file.stat().st_size / 1000:.0f} kB\n")


def _few_colours(picture: Image.Image, count: int) -> Image.Image:
    """With a palette of its own, in which bright colours of few pixels stay: labels, letters."""
    all_colours = picture.getcolors(picture.width * picture.height) or []
    bright = sorted(((n, c) for n, c in all_colours if max(c) - min(c) > _BRIGHT), reverse=True)
    kept = [colour for _, colour in bright[: count // 4]]
    found = picture.quantize(count - len(kept), Image.Quantize.MEDIANCUT)
    palette = Image.new("P", (1, 1))
    colours = [channel for colour in kept for channel in colour] + (found.getpalette() or [])
    palette.putpalette(colours[: 3 * count])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _clip(height: int) -> dict[str, float]:
    return {"x": 0, "y": 0, "width": 1280, "height": height}


def main(names: list[str]) -> int:
    """Start a server, fill it, and look at it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        expect.set_options(timeout=LONG)
        browser = playwright.chromium.launch(executable_path=browser_path(), args=_FLAGS)
        context = browser.new_context(
            viewport={"width": 1280, "height": 800}, color_scheme="light", reduced_motion="reduce"
        )
        predictors = Predictors(partial(opened, Settings().model_dir), InferenceOptions(), 16)
        with running(Path(folder)) as server:
            house = House(server.url, Path(folder), predictors.on("auto"))
            camera = Camera(User(context.new_page(), server.url), names)
            with acting_as(SERVER):
                for act in (start, head, crop, patients, cases, administer, people):
                    act(camera, house)
        predictors.close()
        browser.close()
    return 0


def start(camera: Camera, house: House) -> None:
    """The Segment page before anything was dropped."""
    camera.user.open()
    camera.take("segment", height=760)


def head(camera: Camera, house: House) -> None:
    """A head: band, viewer, findings, border, downloads, reference group."""
    user = camera.user
    found = house.cases.add(house.analysis(template_head()), "Average brain", "DEMO-1")
    type_study(house.cases.acts, found.id, Study("2026-05-02", "F", 50))
    see(user, found.id)
    user.settle()
    user.pixels()
    camera.take("head")
    camera.take("band", user.page.get_by_role("region", name="Result"))
    begin(user, "Sagittal")
    user.page.keyboard.press("t")
    expect(user.viewer.get_by_role("slider", name="Border of the left hippocampus")).to_be_visible()
    user.pixels()
    camera.take("border", user.viewer)
    user.page.keyboard.press("Escape")
    see(user, found.id)
    part = user.page.locator("summary").filter(has_text="Compared with a reference group")
    part.click()
    expect(user.page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    part.evaluate("part => part.scrollIntoView()")
    camera.take("reference-group", height=620)


def crop(camera: Camera, house: House) -> None:
    """What an inverted crop, which is no T1-weighted scan, is told."""
    values = np.asarray(example().dataobj, np.float32)
    inverted = house.analysis(image(values.max() - values, example().affine))
    found = house.cases.add(inverted, "Inverted crop")
    see(camera.user, found.id)
    camera.user.settle()
    camera.user.pixels()
    camera.take("unreliable")


def patients(camera: Camera, house: House) -> None:
    """Two scans of one head, and the earlier laid onto the later."""
    template = template_head()
    affine = template.affine @ np.diag([2, 2, 2, 1])
    data = np.asarray(template.dataobj)[::2, ::2, ::2].copy()
    ids = []
    for day, age, shift_mm in (("2024-05-02", 71, 0), ("2026-05-02", 73, 5)):
        placed = affine.copy()
        placed[1, 3] += shift_mm
        analysis = house.analysis(image(data, placed))
        ids.append(house.cases.add(analysis, f"Visit {day}", "DEMO-2").id)
        type_study(house.cases.acts, ids[-1], Study(day, "F", age))
    user = camera.user
    user.open(f"/patients?case={ids[0]}")
    user.read("What the method varies by")
    user.page.get_by_role("heading", name="DEMO-2").evaluate("part => part.scrollIntoView()")
    camera.take("change")
    user.page.get_by_text("the earlier scan moved onto the later one").click()
    expect(user.viewer).to_have_attribute("data-beside", f"{ids[0]} 0")
    user.pixels()
    user.viewer.evaluate("part => part.scrollIntoView()")
    camera.take("moved", user.viewer)


def cases(camera: Camera, house: House) -> None:
    """The list, with reviews."""
    taken = house.cases.add(house.crop, "Left hippocampus, crop").id
    house.cases.review(taken, "accepted", "Dr A")
    house.cases.add(house.crop, "Left hippocampus, again")
    camera.user.open("/cases")
    camera.take("cases", height=620)


def administer(camera: Camera, house: House) -> None:
    """What an administrator sees of models, trainings and drift."""
    user = camera.user
    for name, page in (("models", "Models"), ("drift", "Drift")):
        user.go(page)
        camera.take(name, height=700)


def people(camera: Camera, house: House) -> None:
    """Accounts and the trail, behind a sign-in."""
    accounts = Accounts(house.engine)
    accounts.add("Anna Berg", "administrator", password=_PASSWORD)
    accounts.add("Ben Cole", "reader", ["memory-clinic", "ward-3"], password=_PASSWORD)
    accounts.add("Dora Eck", "reviewer", password=_PASSWORD)
    user = camera.user
    user.page.goto(f"{user.url}/sign-in")
    user.page.get_by_label("Name").fill("Anna Berg")
    user.page.get_by_label("Password").fill(_PASSWORD)
    user.page.get_by_role("button", name="Sign in").click()
    for name, page in (("people", "People"), ("trail", "Trail")):
        user.open(f"/{name}")
        expect(user.page.get_by_role("heading", name=page, level=2)).to_be_visible()
        camera.take(name, height=680)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
