"""The note about a study whose functions seem to have forgotten their `return`."""

from __future__ import annotations

from qexp.client.client import Client
from qexp.store.reads import missing_results


def note(client: Client, study: str) -> str:
    """Return a sentence if the done experiments of a study have no results and no records; otherwise an empty text."""
    with client.begin() as connection:
        is_empty = missing_results.is_empty(connection, study)
    advice = "let the function return them, such as 'return {\"loss\": loss}'"
    return f"the done experiments of {study} have no results; {advice}" if is_empty else ""
