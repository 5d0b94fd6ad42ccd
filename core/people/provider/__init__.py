"""Signing in with the hospital's own provider of identities (OpenID Connect)."""
