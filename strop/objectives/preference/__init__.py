"""Losses on pairs of responses."""
