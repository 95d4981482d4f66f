"""A GPU that is not there: its tensors lie in main memory, and are treated as if they did not."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
EITHER = ("aten::copy_", "aten::_to_copy", "aten::set_", "aten::_index_put_impl_", "aten::index_put", "aten::index.")
"""Operations that may be given tensors of both: copies, and indices of the CPU into what is on the GPU."""


class Mixed(AssertionError):
    """Tensors of the CPU and of the GPU met."""


class There:
    """Which memory is said to be the GPU's. What was there once is kept, so that its address stays its own."""

    def __init__(self) -> None:
        self.storages: dict[int, object] = {}

    def __call__(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.storages

    def put(self, found: object) -> None:
        for each in tree_leaves(found):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                self.storages[storage._cdata] = storage


class _Results(TorchDispatchMode):
    """What is made of the GPU's tensors is the GPU's, and nothing else may take part in it."""

    def __init__(self, there: There) -> None:
        super().__init__()
        self.there = there

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        gpu = [self.there(each) for each in given]
        if any(gpu) and not str(func).replace(".", "::", 1).startswith(EITHER):
            stray = [each for each, its in zip(given, gpu, strict=True) if not its and each.dim()]
            if stray:
                raise Mixed(f"{func} of the GPU's {[tuple(g.shape) for g in given]} and the CPU's {stray[0].shape}")
        found = func(*args, **(kwargs or {}))
        name = str(func)
        if any(gpu) and not name.startswith(("aten.copy_", "aten.set_")):
            self.there.put(found)
        return found


class _Devices(TorchFunctionMode):
    """What Python sees of devices."""

    def __init__(self, there: There) -> None:
        super().__init__()
        self.there = there

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(func, "__self__", None)
        if name == "__get__" and owner is torch.Tensor.device:
            return GPU if self.there(args[0]) else func(*args, **kwargs)
        if name == "__get__" and owner is torch.Tensor.is_cuda:
            return self.there(args[0])
        if name in ("numpy", "__array__", "tolist") and self.there(args[0]):
            if name != "tolist":
                raise Mixed("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
            return func(*args, **kwargs)
        if name in ("cpu", "cuda", "to"):
            return self._moved(func, name, args, kwargs)
        wanted = kwargs.get("device")
        if wanted is None:
            return func(*args, **kwargs)
        kwargs["device"] = torch.device("meta" if torch.device(wanted).type == "meta" else "cpu")
        found = func(*args, **kwargs)
        if torch.device(wanted).type == "cuda":
            self.there.put(found)
        return found

    def _moved(self, func, name, args, kwargs):
        tensor, rest = args[0], list(args[1:])
        before = self.there(tensor)
        target = {"cpu": torch.device("cpu"), "cuda": GPU}.get(name)
        if name == "to":
            wanted = [each for each in (*rest, *kwargs.values()) if isinstance(each, (str, torch.device, torch.Tensor))]
            for each in wanted:
                target = each.device if isinstance(each, torch.Tensor) else torch.device(each)
                if isinstance(each, torch.Tensor):
                    target = GPU if self.there(each) else target
        if target is None or target.type == "meta":
            return func(*args, **kwargs)
        after = target.type == "cuda"
        dtypes = [each for each in (*rest, *kwargs.values()) if isinstance(each, torch.dtype)]
        dtypes += [each.dtype for each in rest if isinstance(each, torch.Tensor)]
        found = tensor.to(*dtypes) if dtypes else tensor
        if before != after:
            # another memory: gradients go through, later changes in place do not
            with torch._C._DisableTorchDispatch():
                found = found.clone()
            if after:
                self.there.put(found)
        return found


@contextmanager
def pretended_gpu(monkeypatch) -> Generator[There, None, None]:
    """Within the block there is a GPU: `torch.cuda.is_available()`, tensors on it, and an error where they meet those
    of the CPU in a way that torch would refuse."""
    there = There()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    with _Results(there), _Devices(there):
        yield there
