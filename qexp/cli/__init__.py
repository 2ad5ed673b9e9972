"""The command line: it parses, calls the client and prints. No other package prints or exits."""

from qexp.cli.main import main

__all__ = ["main"]
