"""CPC: tell the frame that comes next from all others (van den Oord, Li, Vinyals 2018, arXiv:1807.03748).

z are the embeddings, c is the state of a causal recurrent context, and W_k is a predictor for k frames ahead.
The query q_k,t = W_k c_t + b_k has to find its target z_{t+k} among all B T frames of the batch:

    L = mean over b, t, k with t + k < T of  -log( e^{z_{t+k} . q / tau} / sum_j e^{z_j . q / tau} )
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emargin_train.errors import UserError
from emargin_train.losses.exponentials import exp_below_top_

QUERIES = 400  # queries that are computed at a time, so that memory is linear in the batch's frames


def predictive_contrast(z: Tensor, queries: Tensor, *, temperature: float = 1.0) -> Tensor:
    """L: a scalar >= 0. The gradient is closed-form and computed in the forward pass (first derivative only).

    z: (B, T, D) embeddings
    queries: q, (K, B, T, D), for 1 to K frames ahead; K is below T. Queries without a target are not used
    """
    if len(queries) >= z.shape[1]:
        raise UserError(
            f"CPC predicts up to {len(queries)} frames ahead, but sequences have {z.shape[1]}: "
            "give fewer steps ahead than frames"
        )
    return _Predict.apply(z, queries, temperature)


def sampled_contrast(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """-s_+ + log( e^{s_+} + sum_j e^{s_j} ), s = z . q, of each query: (...,). The TNC authors' CPC.

    query, positive: (..., D); negatives: (..., n, D)
    """
    own = (query * positive).sum(-1, keepdim=True)
    others = (negatives @ query[..., None])[..., 0]
    return torch.cat([own, others], dim=-1).logsumexp(-1) - own[..., 0]


def same_time_contrast(z: Tensor, queries: Tensor) -> Tensor:
    """Find the context of each target among those of all sequences at the same time: a scalar >= 0.

        L = -(1 / (K B)) sum_k sum_b [ S_bb - log sum_b' e^{S_bb'} ],  S_bb' = z_b . q_b'

    z, queries: (K, B, D), the embeddings k frames ahead and their queries
    """
    s = z @ queries.mT
    return (s.logsumexp(-1) - s.diagonal(0, -2, -1)).mean()


def released_frames(n_frames: int) -> tuple[slice, int, Tensor]:
    """(context, positive, frames from which negatives are drawn) of the eMargin release.

    The context starts at the centre frame m and contains its positive m + 1, so the answer leaks; it also
    contains m + 3 and m + 4. The negatives are T // 2 draws with replacement, the same for all sequences of a
    batch.
    """
    if n_frames < 6:
        raise UserError(
            f"the released CPC needs sequences of 6 frames or more, but these have {n_frames}: "
            "give longer ones"
        )
    m, t = n_frames // 2, torch.arange(n_frames)
    return slice(m, m + 5), m + 1, t[(t - m).abs() >= 3]


class _Predict(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, queries: Tensor, temperature: float) -> Tensor:
        n_sequences, n_frames, _ = z.shape
        flat = z.flatten(0, 1)
        frame = torch.arange(len(flat), device=z.device).view(n_sequences, n_frames)
        n_queries = sum(n_sequences * (n_frames - k - 1) for k in range(len(queries)))
        total = z.new_zeros(())
        g_z, g_queries = torch.zeros_like(flat), torch.zeros_like(queries)
        scale = 1 / n_queries
        for k, ahead in enumerate(queries):
            targets = frame[:, k + 1 :].flatten()
            scaled = ahead[:, : n_frames - k - 1].flatten(0, 1) / temperature
            g_q = torch.empty_like(scaled)
            for start in range(0, len(scaled), QUERIES):
                rows = slice(start, start + QUERIES)
                q, target = scaled[rows], targets[rows]
                s = q @ flat.T
                own = s.gather(1, target[:, None])
                top = s.amax(1, keepdim=True)
                e = exp_below_top_(s.sub_(top))
                sums = e.sum(1, keepdim=True)
                total += (top + sums.log() - own).sum()
                share = scale / sums  # e is not multiplied by it, but what the products of e are made of
                torch.addcmul(flat[target] * -scale, e @ flat, share, out=g_q[rows])
                g_z.addmm_(e.T, q * share).index_add_(0, target, q, alpha=-scale)
            g_queries[k, :, : n_frames - k - 1] = (g_q / temperature).view(n_sequences, n_frames - k - 1, -1)
        ctx.grads = g_z.view_as(z), g_queries
        return total / n_queries

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        g_z, g_queries = ctx.grads
        return g_z * g, g_queries * g, None
