"""Samplers and learners. Only this folder and `models/` import transformers, vllm or ray."""
