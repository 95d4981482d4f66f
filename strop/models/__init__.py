"""Load, save, adapt, merge, quantise, steer: everything done to a model outside a training step."""

import logging

# transformers imports torchao where it is installed, which then warns of each GPU library that it does not find
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
