"""The pages work under their Content-Security-Policy, and it holds."""

import pytest
from playwright.sync_api import expect

from tests.browser.user import LONG, tinted

_INLINE = """() => new Promise((done) => {
  const blocked = []
  document.addEventListener("securitypolicyviolation", (event) => {
    blocked.push(event.effectiveDirective)
    if (blocked.length === 2) done([...blocked.sort(), window.injected === true])
  })
  const script = document.createElement("script")
  script.textContent = "window.injected = true"
  document.head.append(script)
  const picture = document.createElement("img")
  picture.setAttribute("onerror", "window.injected = true")
  picture.src = "data:,"
  document.body.append(picture)
})"""


@pytest.mark.long
def test_nothing_of_a_page_is_blocked_and_what_is_injected_is(user):
    user.try_example()
    user.pixels(lambda p: tinted(p, "anterior") > 300)
    user.page.locator("summary").filter(has_text="Surfaces").click()
    expect(user.page.locator(".js-plotly-plot canvas").first).to_be_visible(timeout=LONG)
    for page in ("Cases", "Drift", "Model"):
        user.go(page)
    assert user.blocked == []
    assert user.page.evaluate(_INLINE) == ["script-src-attr", "script-src-elem", False]
    user.blocked.clear()


def test_the_page_of_the_api_is_drawn(user):
    user.page.goto(f"{user.url}/api/docs")
    expect(user.page.get_by_text("/predict").first).to_be_visible(timeout=LONG)
