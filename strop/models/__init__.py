"""Load, save, adapt, merge, quantise, steer: everything done to a model outside a training step."""
