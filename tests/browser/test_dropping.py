"""Files dropped beside the field, and the keys that every page lists."""

import base64

from playwright.sync_api import expect

from tests.scans import as_bytes, example

# As a browser does when files fall on a page, beside any field.
_DROP = """(content) => {
  const files = new DataTransfer();
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  files.items.add(new File([bytes], "dropped.nii"));
  const how = { bubbles: true, cancelable: true, dataTransfer: files };
  const on = document.querySelector("h2");
  on.dispatchEvent(new DragEvent("dragover", how));
  return on.dispatchEvent(new DragEvent("drop", how));
}"""


def test_a_file_may_be_dropped_anywhere_on_an_empty_segment_page(user):
    assert user.serious_faults() == []
    content = base64.b64encode(as_bytes(example())).decode()
    invitation = user.page.get_by_text("Nothing here yet")
    expect(invitation).to_be_visible()
    assert user.page.evaluate(_DROP, content) is False  # the browser does not leave the page
    assert not invitation.is_visible()  # at once, not when the server has answered
    user.see_result("dropped")


def test_every_page_lists_the_keys(user):
    user.go("Operations")
    user.page.get_by_role("button", name="Keys").click()
    expect(user.page.get_by_text("accept the open case")).to_be_visible()
    assert user.page.evaluate(_DROP, "") is False
