"""Surrogates that weight log-probabilities by an advantage."""
