"""Every golden case of the nine baselines: value to 1e-9, gradient to 1e-7, none skipped."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.encoders.dilated import Dilated, DilatedSettings
from emargin_train.losses import cost, cpc, infots, mf_clr, simmtm, softclt, timedrl, tnc, ts2vec, two_views
from emargin_train.losses.unit import unit
from emargin_train.views import simmtm as simmtm_views
from emargin_train.views import tnc as tnc_views
from tests.emargin_train.losses import golden
from tests.emargin_train.losses.golden import Case

FIRST, SECOND = golden.cases("golden1.json"), golden.cases("golden2.json")
Inputs = dict[str, Tensor]


def temporal(case: Case, z: Tensor) -> Callable[[int, int], Tensor] | None:
    """Weights of frames as a case of SoftCLT names them."""
    p = case["parameters"]
    if not p["soft_temporal"]:
        return None
    if case["function"].endswith("gaussian"):
        return softclt.gaussian(p["tau_temp"], z)
    if case["function"].endswith("window"):
        return softclt.window(p["tau_temp"], p["window_ratio"], z)
    if case["function"].endswith("thres"):
        return softclt.threshold(p["threshold"], z)
    return softclt.sigmoid(p["tau_temp"], z)


def soft(case: Case, i: Inputs) -> Tensor:
    p = case["parameters"]
    return softclt.soft_contrast(
        i["z1"],
        i["z2"],
        instance_weights=i["soft_labels"] if p["soft_instance"] else None,
        temporal_weights=temporal(case, i["z1"]),
        weight=p["lambda_"],
        temporal_unit=p.get("temporal_unit", 0),
    )


def temporal_soft(case: Case, i: Inputs) -> Tensor:
    weights = softclt.sigmoid(case["parameters"]["tau"], i["z1"])(0, i["z1"].shape[1])
    return two_views.temporal_contrast(i["z1"], i["z2"], weights)


def read_row_by_row(w: Tensor) -> Tensor:
    return (torch.arange(1, w.numel() + 1) * w.flatten()).sum()


def similarities(case: Case, i: Inputs) -> Tensor:
    """The official function keeps 1 - scaled distance."""
    kinds = {"EUC": softclt.euclidean_distances, "COS": softclt.cosine_distances}
    apart = kinds[case["parameters"]["kind"]](i["x"][..., None])
    return read_row_by_row(1 - softclt.scaled(apart, scaling="columns"))


def dilated(case: Case, i: Inputs) -> Tensor:
    p = case["parameters"]
    settings = DilatedSettings(depth=p["depth"], width=p["hidden"], dim=p["output"])
    encoder = Dilated(i["x"].shape[-1], settings).double()
    names = {
        f"blocks.{k.removeprefix('block')}" if k.startswith("block") else k: v
        for k, v in i.items()
        if k != "x"
    }
    encoder.load_state_dict(names)
    return encoder.eval()(i["x"]).square().sum()


def cost_forward(case: Case, i: Inputs) -> Tensor:
    """Encoders that split the last axis into trend and season, identity heads."""
    p = case["parameters"]
    q_trend, q_season = i["x_q"].chunk(2, dim=-1)
    k_trend, k_season = i["x_k"].chunk(2, dim=-1)
    q, k = (unit(v[:, p["index"]]) for v in (q_trend, k_trend))
    return cost.cost_loss(q, k, i["queue"], q_season, k_season, alpha=p["alpha"])


def banded(case: Case, i: Inputs) -> Tensor:
    weight, bias = torch.complex(i["weight_re"], i["weight_im"]), torch.complex(i["bias_re"], i["bias_im"])
    return cost.season(i["x"], weight, bias).square().sum()


def trend(case: Case, i: Inputs) -> Tensor:
    kernels = case["parameters"]["kernels"]
    parts = [i[f"weight_{k}"] for k in kernels], [i[f"bias_{k}"] for k in kernels]
    whole = cost.trend(i["x"], *parts)
    alone = torch.stack([cost.trend_at(i["x"], t, *parts) for t in range(whole.shape[1])], dim=1)
    torch.testing.assert_close(alone, whole, rtol=1e-12, atol=1e-12)
    return alone.square().sum()


def guided(case: Case, i: Inputs) -> Tensor:
    p = dict(case["parameters"])
    if p.pop("para") == "quad":
        return mf_clr.guide_loss(i["z1"], i["z2"], i["f1"], **p)
    p["temperature"] = p.pop("t", 0.5)
    return mf_clr.soft_guide_loss(i["z1"], i["z2"], i["f1"], **p)


Run = Callable[[Case, Inputs], Tensor]
RUNS: dict[tuple[str, str], Run] = {
    ("ts2vec", "instance_contrastive_loss"): lambda c, i: two_views.instance_contrast(i["z1"], i["z2"]),
    ("ts2vec", "temporal_contrastive_loss"): lambda c, i: two_views.temporal_contrast(i["z1"], i["z2"]),
    ("ts2vec", "hierarchical_contrastive_loss"): lambda c, i: ts2vec.hierarchical_contrast(
        i["z1"], i["z2"], **c["parameters"]
    ),
    ("ts2vec", "TSEncoder"): dilated,
    ("softclt", "inst_CL_soft"): lambda c, i: two_views.instance_contrast(i["z1"], i["z2"], i["soft_labels"]),
    ("softclt", "temp_CL_soft"): temporal_soft,
    ("softclt", "hier_CL_soft"): soft,
    ("softclt", "hier_CL_soft_gaussian"): soft,
    ("softclt", "hier_CL_soft_window"): soft,
    ("softclt", "hier_CL_soft_thres"): soft,
    ("softclt", "hier_CL_hard"): lambda c, i: softclt.soft_contrast(
        i["z1"], i["z2"], weight=c["parameters"]["lambda_"], temporal_unit=c["parameters"]["temporal_unit"]
    ),
    ("softclt", "densify"): lambda c, i: read_row_by_row(
        softclt.instance_weights(i["distance"], **c["parameters"])
    ),
    ("softclt", "save_sim_mat"): similarities,
    ("cost", "compute_loss"): lambda c, i: cost.momentum_contrast(
        i["q"], i["k"], i["queue"], temperature=c["parameters"]["T"]
    ),
    ("cost", "seasonal_amplitude_loss"): lambda c, i: cost.season_contrast(i["q_s"], i["k_s"])[0],
    ("cost", "seasonal_phase_loss"): lambda c, i: cost.season_contrast(i["q_s"], i["k_s"])[1],
    ("cost", "forward"): cost_forward,
    ("cost", "BandedFourierLayer"): banded,
    ("cost", "trend_mixture"): trend,
    ("infots", "global_infoNCE"): lambda c, i: infots.global_contrast(i["z1"], i["z2"], **c["parameters"]),
    ("infots", "local_infoNCE"): lambda c, i: infots.local_contrast(i["z1"][:1], **c["parameters"]),
    ("infots", "training_loss"): lambda c, i: infots.infots_loss(
        i["z1"], i["z2"], **c["parameters"], first_only=True
    ),
    ("mf-clr", "combine_loss"): lambda c, i: mf_clr.mf_clr_loss(i["z1"], i["z2"], i["f1"], **c["parameters"]),
    ("mf-clr", "feature_contrastive_loss"): guided,
    ("mf-clr", "instance_contrastive_loss"): lambda c, i: two_views.instance_contrast(i["z1"], i["z2"]),
    ("mf-clr", "temporal_contrastive_loss"): lambda c, i: two_views.temporal_contrast(i["z1"], i["z2"]),
    ("emargin-release", "infots"): lambda c, i: infots.infots_loss(
        i["z1"], i["z2"], **c["parameters"], first_only=True
    ),
    ("emargin-release", "mf-clr"): lambda c, i: mf_clr.released_loss(i["z1"], i["z2"]),
    ("emargin-release", "ts2vec"): lambda c, i: ts2vec.released_contrast(i["z1"], i["z2"]),
    ("emargin-release", "softclt"): lambda c, i: softclt.released_contrast(
        i["z1"], i["z2"], i["soft_labels"]
    ),
}


@pytest.mark.parametrize("case", FIRST, ids=[c["name"] for c in FIRST])
def test_golden_first_file(case: Case) -> None:
    i = golden.inputs(case)
    first = next(iter(i.values())).requires_grad_()
    golden.check(case, RUNS[case["method"], case["function"]](case, i), first)


Outcome = tuple[Tensor, Tensor | None]  # value, and what its gradient is with respect to


def critic(d: Inputs) -> tnc.Critic:
    return tnc.Critic(d["W1"], d["b1"], d["W2"], d["b2"])


def tnc_pairs(case: Case, d: Inputs) -> Outcome:
    z, w = d["z_t"].requires_grad_(), case["hyper"]["w"]
    anchors = z[:, None].expand_as(d["z_p"])
    near, distant = critic(d)(anchors, d["z_p"]), critic(d)(anchors, d["z_n"])
    assert F.softplus(-near).mean().item() == pytest.approx(case["parts"]["p_loss"], rel=1e-9)
    assert F.softplus(distant).mean().item() == pytest.approx(case["parts"]["n_loss"], rel=1e-9)
    assert F.softplus(-distant).mean().item() == pytest.approx(case["parts"]["n_loss_u"], rel=1e-9)
    return tnc.positive_unlabelled(near, distant, weight=w), z


def tnc_neighbours(case: Case, d: Inputs) -> Outcome:
    h = case["hyper"]
    sizes = {"n_frames": h["T"], "window": h["window"]}
    near = tnc_views.neighbour_centres(d["gauss"], h["t"], epsilon=h["epsilon"], **sizes)
    assert near.tolist() == case["fixed"]["centres"]
    for t, expected in case["fixed"]["non_neighbour_ranges"].items():
        assert list(tnc_views.distant_range(int(t), delta=h["delta"], **sizes)) == expected
    return near.sum(), None


def tnc_release(case: Case, d: Inputs) -> Outcome:
    h, fixed = case["hyper"], case["fixed"]
    stream = d["x"].flatten(0, 1)
    sizes = {"n_frames": d["x"].shape[1], "window": h["window"]}
    assert list(tnc_views.distant_range(h["t"], delta=h["delta"], **sizes)) == fixed["t_n_range"]
    near = tnc_views.neighbour_centres(d["gauss"], h["t"], epsilon=h["epsilon"], **sizes)
    assert near.tolist() == fixed["t_p"]
    e = d["E"].requires_grad_()
    cut = [
        tnc_views.frames_around(stream, torch.tensor(c), h["window"]) @ e
        for c in ([h["t"]], fixed["t_p"], fixed["t_n"])
    ]
    anchors = cut[0].expand_as(cut[1])
    loss = tnc.positive_unlabelled(critic(d)(anchors, cut[1]), critic(d)(anchors, cut[2]), weight=h["w"])
    return loss, e


def gru(d: Inputs) -> nn.GRU:
    found = nn.GRU(d["W_ih"].shape[1], d["W_hh"].shape[1], batch_first=True).double()
    names = {"weight_ih_l0": "W_ih", "weight_hh_l0": "W_hh", "bias_ih_l0": "b_ih", "bias_hh_l0": "b_hh"}
    found.load_state_dict({name: d[key] for name, key in names.items()})
    return found


def cpc_short_and_long(case: Case, d: Inputs) -> Outcome:
    h, z = case["hyper"], d["z"].requires_grad_()
    a = h["anchor"]
    context = gru(d)(z[None, max(0, a - h["context"]) : a + 1])[0][0, -1]
    query = F.linear(context, d["W_pred"], d["b_pred"])
    return cpc.sampled_contrast(query, z[a + 1], z[h["negatives"]]), z


def cpc_release(case: Case, d: Inputs) -> Outcome:
    h, e = case["hyper"], d["E"].requires_grad_()
    z = d["x"] @ e
    context, positive, pool = cpc.released_frames(z.shape[1])
    assert list(range(context.start, context.stop)) == h["context"] and positive == h["positive"]
    assert set(h["negatives"]) <= set(pool.tolist()) and len(h["negatives"]) == z.shape[1] // 2
    query = F.linear(gru(d)(z[:, context])[0][:, -1], d["W_pred"], d["b_pred"])
    return cpc.sampled_contrast(query, z[:, positive], z[:, h["negatives"]]).mean(), e


def simmtm_contrast(case: Case, d: Inputs) -> Outcome:
    z, h = d["z"].requires_grad_(), case["hyper"]
    loss, _ = simmtm.contrast_and_rebuild(z, z.detach(), n_series=h["B"], temperature=h["temperature"])
    return loss, z


def simmtm_aggregate(case: Case, d: Inputs) -> Outcome:
    z, h = d["z"].requires_grad_(), case["hyper"]
    settings = {"n_series": h["B"], "temperature": h["temperature"], "n_rebuilt": len(z)}
    rebuilt = simmtm.contrast_and_rebuild(z, d["h"], **settings)[1]
    assert rebuilt[0, 0, 0].item() == pytest.approx(case["parts"]["agg_0_0_0"], rel=1e-9)
    w = simmtm.contrast_and_rebuild(z, torch.eye(len(z)).double(), **settings)[1]
    for j in (1, 2):
        assert w[0, j].item() == pytest.approx(case["parts"][f"w_0_{j}"], rel=1e-9)
    assert w.diagonal().abs().max() == case["parts"]["w_diag_max"] == 0
    return rebuilt.square().sum(), z


def simmtm_awl(case: Case, d: Inputs) -> Outcome:
    x, h = d["x_om"].requires_grad_(), case["hyper"]
    flat = x.flatten(1)
    s = F.linear(flat, d["W_dense"], d["b_dense"])
    loss, rebuilt = simmtm.contrast_and_rebuild(
        s, x, n_series=h["B"], temperature=h["temperature"], n_rebuilt=len(x)
    )
    decoded = F.linear(rebuilt.flatten(1), d["W_head"], d["b_head"])
    losses = torch.stack([loss, F.mse_loss(decoded, flat.detach())])
    for found, name in zip(losses, ("loss_cl", "loss_rb"), strict=True):
        assert found.item() == pytest.approx(case["parts"][name], rel=1e-9)
    p = torch.tensor(h["awl"], dtype=torch.float64, requires_grad=True)
    value = simmtm.weighted_sum(losses, p)
    grad_p = torch.autograd.grad(value, p, retain_graph=True)[0]
    assert grad_p.tolist() == pytest.approx(
        [case["parts"]["grad_awl_0"], case["parts"]["grad_awl_1"]], rel=1e-9
    )
    return value, x


def simmtm_forecasting(case: Case, d: Inputs) -> Outcome:
    """Each variable is a series; only the originals are rebuilt."""
    x, h = d["x"].requires_grad_(), case["hyper"]
    keep = torch.cat([torch.ones_like(x), (d["mask_raw"] > -0.5).double()])
    rows = torch.cat([x, x.repeat(h["P"], 1, 1) * keep[len(x) :]])
    normed, mean, sd = simmtm.masked_normalisation(rows, keep)

    def series(v: Tensor) -> Tensor:
        return v.transpose(1, 2).flatten(0, 1)

    embedded = torch.tanh(F.linear(series(normed)[..., None], d["W_embed"], d["b_embed"]))
    s = F.linear(embedded.flatten(1), d["W_pool"], d["b_pool"])
    n = len(x) * x.shape[2]
    loss, rebuilt = simmtm.contrast_and_rebuild(s, embedded, n_series=n, temperature=h["temperature"])
    decoded = F.linear(rebuilt.flatten(1), d["W_proj"], d["b_proj"]) * series(sd)[:n] + series(mean)[:n]
    losses = torch.stack([loss, F.mse_loss(decoded, series(x).detach())])
    for found, name in zip(losses, ("loss_cl", "loss_rb"), strict=True):
        assert found.item() == pytest.approx(case["parts"][name], rel=1e-9)
    return simmtm.weighted_sum(losses, torch.tensor(h["awl"], dtype=torch.float64)), x


def simmtm_mask(case: Case, d: Inputs) -> Outcome:
    keep = simmtm_views.keep_chain(d["uniform"], ratio=case["hyper"]["ratio"], length=case["hyper"]["lm"])
    assert keep.int().tolist() == case["fixed"]["keep"]
    return keep.sum(), None


def simmtm_release(case: Case, d: Inputs) -> Outcome:
    e, x = d["E"].requires_grad_(), d["x"]
    masked = torch.cat([x, x.repeat(3, 1, 1) * (d["mask_raw"] > 0)]).flatten(0, 1)
    z = masked @ e
    decoded = F.linear(z, d["W_head"], d["b_head"])
    return simmtm.released_loss(z, decoded, masked, temperature=case["hyper"]["temperature"]), e


def predictor(i: Tensor, d: Inputs) -> Tensor:
    hidden = F.linear(i, d["A1"], d["a1"])
    hidden = F.batch_norm(hidden, None, None, d["bn_weight"], d["bn_bias"], training=True).relu()
    return F.linear(hidden, d["A2"], d["a2"])


def timedrl_loss(
    case: Case, d: Inputs, z1: Tensor, z2: Tensor, target: Tensor, kind: str, stop: bool
) -> Tensor:
    decoded = [F.linear(z[:, 1:], d["W_rec"], d["b_rec"]) for z in (z1, z2)]
    predictive = timedrl.predictive_loss(*decoded, target)
    i1, i2 = (timedrl.instance_embedding(z, kind) for z in (z1, z2))
    instance = timedrl.instance_loss(i1, i2, predictor(i1, d), predictor(i2, d), stop_gradient=stop)
    if "predictive" in case["parts"]:
        assert predictive.item() == pytest.approx(case["parts"]["predictive"], rel=1e-9)
        assert instance.item() == pytest.approx(case["parts"]["contrastive"], rel=1e-9)
    return predictive + case["hyper"]["lambda"] * instance


def timedrl_given(case: Case, d: Inputs) -> Outcome:
    h, z1 = case["hyper"], d["z1"].requires_grad_()
    target = timedrl.patches(d["x"], h["patch_len"], h["stride"], joint=not h["channel_independence"])
    assert target.shape[1] == h["T_p"]
    return timedrl_loss(case, d, z1, d["z2"], target, h["get_i"], h["stop_gradient"]), z1


def timedrl_release(case: Case, d: Inputs) -> Outcome:
    h, e = case["hyper"], d["E"].requires_grad_()
    cut = {"length": h["patch_len"], "stride": h["stride"], "pad": h["pad"]}
    tokens = timedrl.patches(timedrl.normalised(d["x"]), **cut)
    tokens = torch.cat([d["cls"].expand(len(tokens), -1, -1), tokens], dim=1)
    embedded = F.linear(tokens, d["W_token"]) + timedrl.positions(tokens.shape[1], h["d_model"])
    z = embedded @ e
    assert (z[:, 0] - z[0, 0]).abs().max() == case["parts"]["cls_spread_over_batch"] == 0
    return timedrl_loss(case, d, z, z, timedrl.patches(d["x"], **cut), "cls", True), e


SECOND_RUNS: dict[str, Callable[[Case, Inputs], Outcome]] = {
    "tnc_w": tnc_pairs,
    "tnc_neighbours": tnc_neighbours,
    "tnc_release": tnc_release,
    "cpc_tncrepo": cpc_short_and_long,
    "cpc_release": cpc_release,
    "simmtm_contrast": simmtm_contrast,
    "simmtm_aggregate": simmtm_aggregate,
    "simmtm_awl": simmtm_awl,
    "simmtm_forecasting": simmtm_forecasting,
    "simmtm_mask": simmtm_mask,
    "simmtm_release": simmtm_release,
    "timedrl_release": timedrl_release,
    "timedrl_": timedrl_given,
}


@pytest.mark.parametrize("case", SECOND, ids=[c["name"] for c in SECOND])
def test_golden_second_file(case: Case) -> None:
    run = next(run for start, run in SECOND_RUNS.items() if case["name"].startswith(start))
    value, wrt = run(case, golden.draws(case))
    golden.check(case, value, wrt)


def test_golden_no_case_is_missing(shared: Path) -> None:
    assert (len(FIRST), len(SECOND)) == (113, 21)
