"""AdamW without PyTorch's compiler.

The first step of a PyTorch optimiser loads the compiler (829 modules, 1.6 s of a processor), only to mark the
step as one that is not compiled. Nothing here is compiled, so we call the methods without these marks; they
compute the same.
"""

from inspect import unwrap

import torch


class AdamW(torch.optim.AdamW):
    """As `torch.optim.AdamW`, with the same state. It cannot be used inside `torch.compile`."""

    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)
    state_dict = unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
