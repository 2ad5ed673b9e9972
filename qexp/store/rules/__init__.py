"""Rules that the leader applies: failure limits, quarantine of workers, notifications."""
