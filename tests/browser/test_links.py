"""The addresses of a case's files: whose they are, and what they answer."""

import gzip

import httpx
import nibabel as nib
import pytest
from playwright.sync_api import expect

from tests.browser.user import User


@pytest.mark.long
def test_a_link_works_in_its_own_browser_only_and_in_parts(user, browser, server):
    user.try_example()
    user.pixels()
    links = user.page.evaluate("performance.getEntriesByType('resource').map(r => r.name)")
    link = next(name for name in links if name.endswith("scan.nii.gz"))
    cookies = {c["name"]: c["value"] for c in user.page.context.cookies()}
    whole = httpx.get(link, cookies=cookies)
    assert whole.status_code == 200
    assert whole.headers["cache-control"].startswith("private")
    scan = nib.Nifti1Image.from_bytes(gzip.decompress(whole.content))
    assert nib.aff2axcodes(scan.affine) == ("R", "A", "S")

    again = httpx.get(link, cookies=cookies, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = httpx.get(link, cookies=cookies, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    rest = httpx.get(link, cookies=cookies, headers={"Range": "bytes=10-"})
    assert rest.content == whole.content[10:]
    beyond = httpx.get(link, cookies=cookies, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416

    assert httpx.get(link).status_code == 404
    stranger = browser.new_context()
    person = User(stranger.new_page(), server.url)
    person.open()
    assert stranger.request.get(link).status == 404  # with a cookie of its own
    stranger.close()

    case_id = link.split("/")[-3]
    user.open(f"/cases?case={case_id}")
    user.page.get_by_role("button", name="Delete", exact=True).click()
    expect(user.page.get_by_text(f"Case {case_id} was deleted.")).to_be_visible()
    assert httpx.get(link, cookies=cookies).status_code == 404
