"""Write the first grid of a project: for a function that is there, or with an example of a function."""

from qexp.client.starter.files import Started, start_from_function, start_from_nothing

__all__ = ["Started", "start_from_function", "start_from_nothing"]
