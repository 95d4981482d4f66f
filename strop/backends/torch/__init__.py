"""The default backend: one process, any transformers causal language model."""
