"""Rows become frames."""
