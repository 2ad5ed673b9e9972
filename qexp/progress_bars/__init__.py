"""Progress bars on a terminal and in a notebook."""

from qexp.progress_bars.bar import ProgressBar, progress_bar

__all__ = ["ProgressBar", "progress_bar"]
