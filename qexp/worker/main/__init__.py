"""The main process of a worker: it registers the worker, beats, enforces limits, recovers, and may lead."""
