"""Explain why an experiment is in its state: rules over facts choose sentences, each with a command."""

from qexp.client.explain.explanation import Explanation, Sentence, explain
from qexp.client.explain.facts import Facts, QueueState, gather
from qexp.client.explain.formatting import start_worker

__all__ = ["Explanation", "Facts", "QueueState", "Sentence", "explain", "gather", "start_worker"]
