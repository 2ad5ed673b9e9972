"""Frames, tables, comparisons, plots and reports of experiments."""
