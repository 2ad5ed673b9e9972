"""The command line: it parses, calls the client and prints."""

from qexp.cli.main import main

__all__ = ["main"]
