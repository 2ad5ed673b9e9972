"""Random faults on a site of its own, and what became of its experiments: `python -m benchmarks.drill`."""
