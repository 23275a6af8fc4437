"""A simulated device, for machines without a GPU: its tensors compute on the CPU, but are kept separate.

Its name is `meta`. As on a GPU, its tensors cannot be mixed with CPU tensors (except single numbers), and
cannot be used as arrays. Copying them to the CPU, and reading a value, waits for the device and is counted.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "meta"
aten = torch.ops.aten
LOOKS = {aten._local_scalar_dense.default, aten._unique2.default, aten.unique_dim.default}
COPIES = {aten._to_copy.default, aten.copy_.default}


class Far(Tensor):
    """A tensor over there; `here` holds its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "Far":
        far = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), dtype=here.dtype, device=NAME
        )
        far.here = here
        return far

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{op} outside of the device's context")


class Elsewhere(TorchDispatchMode):
    """The device's context. looks: how often it was waited for, by operation"""

    def __init__(self) -> None:
        super().__init__()
        self.looks: Counter[str] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        leaves = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        far = [x for x in leaves if isinstance(x, Far)]
        near = [x for x in leaves if not isinstance(x, Far) and x.ndim > 0]
        if far and near and op not in COPIES:
            raise AssertionError(f"{op} mixes {len(far)} tensors of {NAME} with {len(near)} of the CPU")
        to_there = bool(far)
        if "device" in kwargs and kwargs["device"] is not None:
            to_there = torch.device(kwargs["device"]).type == NAME
            kwargs["device"] = torch.device("cpu")
        if op is aten.copy_.default:
            to_there = isinstance(args[0], Far)
        crosses = op in COPIES and bool(near if to_there else far)
        if crosses or (far and op in LOOKS):
            self.looks[str(op)] += 1
        inside = {id(x.here): x for x in far}
        own_args, own_kwargs = tree_map(lambda x: x.here if isinstance(x, Far) else x, (args, kwargs))
        result = op(*own_args, **own_kwargs)
        if op is aten._local_scalar_dense.default or not to_there:
            return result

        def outside(x: Any) -> Any:
            return inside.get(id(x), Far(x)) if isinstance(x, Tensor) else x

        return tree_map(outside, result)
