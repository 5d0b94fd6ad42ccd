"""Every page, in both themes and widths: looked at, reachable, readable."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import leave
from tests.browser.user import User

PAGES = [
    "Segment", "Cases", "Patients", "Model", "About and help", "Retrain", "Models", "Drift",
    "Reference groups", "Operations",
]  # fmt: skip
LOOKS = [(scheme, width) for scheme in ("dark", "light") for width in (1280, 1920)]


def looks_of_pages():
    """Every page dark in a small window or light in a large one; nightly each in each way."""
    for look in LOOKS:
        for number, name in enumerate(PAGES):
            often = LOOKS[0] if number % 2 else LOOKS[-1]
            marks = () if look == often else pytest.mark.long
            yield pytest.param(look, name, id=f"{look[0]}-{look[1]}-{name}", marks=marks)


@pytest.fixture(scope="module")
def visitors(second_profile: BrowserContext, server):
    """Somebody with an open case, for each look; made when first asked for."""
    made = {}

    def visitor(scheme: str, width: int) -> User:
        if (scheme, width) not in made:
            user = made[scheme, width] = User(second_profile.new_page(), server.url)
            user.look(scheme, width, round(width * 0.7))
            user.open()
            user.try_example()
        return made[scheme, width]

    yield visitor
    for user in made.values():
        assert user.strangers == []
    leave(second_profile)


@pytest.mark.parametrize(("look", "name"), list(looks_of_pages()))
def test_a_page_is_readable_and_says_what_it_is_not_for(look, name, visitors, pictures):
    user = visitors(*look)
    if name == "Segment":
        user.pixels()
    else:
        user.go(name)
        user.page.wait_for_load_state("networkidle")
    user.page.keyboard.press("Home")
    user.page.screenshot(path=pictures / f"{name.split()[0].lower()}-{look[0]}-{look[1]}.png")
    user.read("Not for diagnosis")
    assert user.serious_faults() == []
    width = user.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0  # nothing sticks out at the side


def test_the_model_page_shows_the_card(user):
    user.go("Model")
    user.read("0.901", "0.882", "44 cases", "cross-validation", "CC BY-SA 4.0", "Antonelli")


def test_the_help_page_shows_the_labels_and_the_api(user):
    user.go("About and help")
    expect(user.page.get_by_alt_text("Side view")).to_be_visible()
    user.read("api/predict")
    assert user.page.get_by_role("link", name="interactive API page").get_attribute("href")


def test_the_keyboard_alone_reaches_the_example_and_its_result(user):
    button = user.page.get_by_role("button", name="Try an example")
    expect(button).to_be_visible()
    user.settle()
    for _ in range(40):
        user.page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    user.page.keyboard.press("Enter")
    user.see_result("Example (MNI152 average brain)")
    controls, reached = ("Mask", "Measures", "Surfaces", "Slice strip", "Opacity"), set()
    for _ in range(200):
        user.page.keyboard.press("Tab")
        reached.add(
            user.page.evaluate(
                "(e => { while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"
                " return e.getAttribute('aria-label') || e.innerText || e.type || '' })"
                "(document.activeElement)"
            ).strip()
        )
        missing = [control for control in controls if not any(control in r for r in reached)]
        if not missing:
            break
    assert not missing, reached
