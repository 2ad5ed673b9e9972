"""Remove what nothing needs any more, from this machine, the artifacts and the database."""

from qexp.client.pruning.prune import Pruned, prune

__all__ = ["Pruned", "prune"]
