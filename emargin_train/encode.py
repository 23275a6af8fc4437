"""Frames to embeddings."""

import numpy as np
import torch
from torch import Tensor

from emargin_train.data.frames import Frames
from emargin_train.methods.base import Method

ENCODE_SEQUENCES = 64  # per batch


@torch.no_grad()
def encode(method: Method, frames: Frames, chosen: np.ndarray) -> np.ndarray | Tensor:
    """Embeddings of the chosen frames, in row-major order of `chosen`: (n, D) float32.

    An array if the method is on a CPU, else a tensor that stays where the method is. The method is put into
    evaluation mode for this, and sees batches of whole sequences.

    chosen: (N, T) bool
    """
    if chosen.shape != frames.shape[:2] or chosen.dtype != bool:
        raise TypeError(f"chosen is {chosen.dtype} {chosen.shape}, not bool {frames.shape[:2]}")
    like, was_training = method.like, method.training
    method.eval()
    dim = method.encode(like.new_zeros(1, 1, frames.shape[2])).shape[-1]
    h = torch.empty((int(chosen.sum()), dim), device=like.device)
    done = 0
    touched = np.flatnonzero(chosen.any(1))
    for which in np.split(touched, range(ENCODE_SEQUENCES, len(touched), ENCODE_SEQUENCES)):
        x = method.to_input(torch.from_numpy(frames.x(which)).to(like.device)).to(like.dtype)
        own = torch.from_numpy(np.flatnonzero(chosen[which])).to(like.device)
        h[done : done + len(own)] = method.encode(x).flatten(0, 1)[own]
        done += len(own)
    method.train(was_training)
    return h.numpy() if like.device.type == "cpu" else h
