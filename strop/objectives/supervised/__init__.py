"""Losses on given responses."""
