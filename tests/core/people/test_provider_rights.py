"""What an administrator writes of a provider's groups, and what they give."""

import pytest

from core.errors import SettingsError
from core.people.provider.rights import Rights, rights_by_group, rights_of
from core.settings import Settings, is_safe_address

SET = {"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_groups": "a = reader b"}


def test_a_line_reads_as_it_is_meant():
    text = (
        " radiology = reader memory ward-3 ;\n/neuro/old ones = reviewer; CN=x,OU=y=administrator;"
    )
    assert rights_by_group(text) == {
        "radiology": Rights("reader", frozenset({"memory", "ward-3"})),
        "/neuro/old ones": Rights("reviewer", frozenset()),
        "CN=x,OU=y": Rights("administrator", frozenset()),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("radiology reader", "no group, or no role"), ("a =", "no role"), ("= reader", "no group"),
        ("a = readers", "'readers' is no role"), ("a = service", "is no role"),
        ("a = nobody", "is no role"), ("a = server", "is no role"),
        ("a = reader x; a = reviewer", "twice"), ("a = reader Ward_3", "group's name"),
        ("a = reader x, b = reader y", "semicolon"), (" ; ", "names no group"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_stops_the_start(text, why):
    with pytest.raises(SettingsError, match=why):
        rights_by_group(text)


def test_the_highest_role_and_all_groups_count():
    by_group = rights_by_group("a = reader x; b = reviewer; c = administrator y; d = reader z")
    assert rights_of(["a", "d", "other"], by_group) == Rights("reader", frozenset("xz"))
    assert rights_of(["c", "b", "a"], by_group) == Rights("administrator", frozenset("xy"))
    assert rights_of("b", by_group) == Rights("reviewer", frozenset())
    for odd in (None, [], {}, {"a": 1}, 3, True, "a d", [["a"]], [None], ["A"], b"a"):
        assert rights_of(odd, by_group) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"oidc_client_id": ""}, "OIDC_CLIENT_ID"), ({"oidc_groups": ""}, "OIDC_GROUPS"),
        ({"oidc_issuer": ""}, "OIDC_CLIENT_ID"), ({"oidc_issuer": "http://id.example"}, "ISSUER"),
        ({"oidc_issuer": "https://id.example/?a"}, "ISSUER"), ({"oidc_ca": "/none"}, "OIDC_CA"),
        ({"oidc_issuer": "https://me:secret@id.example"}, "ISSUER"),
        ({"oidc_groups_claim": "email"}, "CLAIM"),
    ],
)  # fmt: skip
def test_settings_of_a_provider_that_do_not_fit_are_refused(change, word):
    assert Settings(**SET).oidc_groups_claim == "groups"
    with pytest.raises(SettingsError, match=word) as error:
        Settings(**SET | change)
    assert "secret" not in str(error.value)


def test_an_address_is_safe_by_tls_or_on_this_machine():
    for safe in ("https://id.example", "https://id.example:8443/a?b=c", "http://127.0.0.1:5"):
        assert is_safe_address(safe)
    for unsafe in (
        "http://id.example", "https://", "https://a@b", "https://a:x", "https://[", "ftp://a",
        "https://a b", "https://a\n", "https://ä.example", "https://a#b", "//a", "",
    ):  # fmt: skip
        assert not is_safe_address(unsafe)
