"""Parse, call the client, print: the only place that prints or exits."""

from qexp.cli.main import main

__all__ = ["main"]
