"""Coverage: how many experiments of each cell are done, and why the others are not."""

from qexp.analysis.coverage.model import Coverage, Gap

__all__ = ["Coverage", "Gap"]
