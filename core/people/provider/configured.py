"""Whether there is a provider at all: asked at each start, without loading what only it needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from core.settings import Settings

if TYPE_CHECKING:
    from core.people.provider.sign_ins import ProviderSignIns


def provider_sign_ins(
    settings: Settings, engine: Engine, on_change: Callable[[], None]
) -> "ProviderSignIns | None":
    """Sign-ins with the provider of the settings, if they name one.

    Raises
    ------
    SettingsError
    """
    if not settings.oidc_issuer:
        return None
    from core.people.provider.sign_ins import ProviderSignIns

    return ProviderSignIns.of(settings, engine, on_change)
