"""Ids of experiments become messages on the broker, for client and worker alike."""
