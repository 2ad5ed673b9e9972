"""Measurements of qexp's costs and recovery times on this machine."""
