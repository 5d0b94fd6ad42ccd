"""Whole numbers of one range in both databases: all of SQLite's have 64 bits."""

from sqlalchemy import BigInteger
from sqlalchemy import Integer as _Integer

Integer = BigInteger().with_variant(_Integer, "sqlite")
