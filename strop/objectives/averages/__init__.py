"""From per-token losses to one number: each divides by counts fixed before micro-batching."""
