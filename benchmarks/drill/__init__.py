"""Random faults on a separate site, and a check of its experiments: `python -m benchmarks.drill`."""
