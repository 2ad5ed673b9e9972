"""`python -m qexp` is the command `qexp`."""

from qexp.cli import main

main()
