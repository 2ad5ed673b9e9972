"""Translate a person's choice of experiments, by selectors and `--where`, into SQL conditions."""
