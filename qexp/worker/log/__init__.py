"""The log of a worker: one line per event, of all its processes, without floods."""
