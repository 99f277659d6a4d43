"""Closed sets as the database's own constraints."""

from collections.abc import Iterable

from peewee import Check, Node


def one_of(column: str, words: Iterable[str]) -> Node:
    """Let a column hold none but these words."""
    return Check(f"{column} IN ({', '.join(repr(str(word)) for word in words)})")


def null_or(column: str, words: Iterable[str]) -> Node:
    """Let a column hold NULL, or none but these words."""
    return Check(f"{column} IS NULL OR {column} IN ({', '.join(repr(str(w)) for w in words)})")
