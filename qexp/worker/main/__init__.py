"""The main process of a worker: it registers the worker, sends heartbeats, enforces limits, recovers, and may lead."""
