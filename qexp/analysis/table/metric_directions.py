"""Tell from a metric's name whether larger is better, and whether it depends on the machine."""

from __future__ import annotations

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_RATES = _set("throughput fps")
_TIMES = _set("""
    duration latency runtime walltime elapsed seconds second secs sec ms energy kwh memory
    """)
_MACHINE = _TIMES | _RATES
"""Words of measures that depend on the machine."""
_LOWER = _TIMES | _set("""
    loss losses error errors err rmse mse mae mape rmsle msle perplexity ppl wer cer eer ece fid nll logloss brier
    regret deviance bpc bpb misclassification time entropy misses failures timeouts distance
    """)
_HIGHER = _RATES | _set("""
    accuracy acc auc auroc auprc ap map f1 precision recall sensitivity specificity score r2 bleu rouge reward return
    iou dice psnr ssim
    """)
_NO_CLOCK = frozenset(("series", "step", "steps", "point", "points"))
"""Words after `time` in names of metrics that are no times, such as time_series_accuracy."""


def _words(metric: str) -> list[str]:
    """
    Return the words of a metric's name in lower case.

    >>> _words("val/topK_err"), _words("trainLoss")
    (['val', 'top', 'k', 'err'], ['train', 'loss'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*|[0-9]+", metric)]


def is_time_like(metric: str) -> bool:
    """
    Return whether a metric depends on the machine, by its name.

    >>> [is_time_like(name) for name in ("duration", "fit_time", "time_per_step_ms", "time_series_accuracy")]
    [True, True, True, False]
    """
    words = _words(metric)
    followed = zip(words, [*words[1:], ""], strict=True)
    is_time = any(word == "time" and after not in _NO_CLOCK for word, after in followed)
    return metric == "last_attempt" or is_time or not _MACHINE.isdisjoint(words)


def known_direction(metric: str) -> bool | None:
    """
    Return whether a larger value is better, by the last known word of the name. Returns None if no word is known.

    A unit after `per` does not count: images_per_second is a rate. A metric that begins with `neg` is negated, as in
    scikit-learn.

    >>> [known_direction(name) for name in ("step_ms", "images_per_second", "tuning", "neg_log_loss")]
    [False, None, None, True]
    """
    words = _words(metric)
    if words[:1] == ["neg"]:
        words = words[1:]
        negated = known_direction("_".join(words))
        return None if negated is None else not negated
    for before, word in reversed(list(zip(["", *words], words, strict=False))):
        if before != "per" and (word in _LOWER or word in _HIGHER):
            return word in _HIGHER
    return False if metric == "last_attempt" else None


def is_better_large(metric: str) -> bool:
    """
    Return whether a larger value of a metric is better, as far as its name tells.

    >>> [is_better_large(name) for name in ("accuracy", "val_loss", "test.rmse", "error_rate", "fit_time")]
    [True, False, False, False, False]
    """
    return known_direction(metric) is not False
