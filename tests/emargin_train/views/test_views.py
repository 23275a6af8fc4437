"""The views of the baselines: crops, pairs, masks, augmentations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from emargin_train.losses import softclt
from emargin_train.views import cost, infots, mf_clr, simmtm, tnc, ts2vec


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, n_frames: int) -> Tensor:
    """(B, T, 1), every frame its own number."""
    return torch.arange(n * n_frames).view(n, n_frames, 1).float()


@pytest.mark.parametrize("n_frames, unit", [(200, 0), (9, 0), (2, 0), (1, 0), (40, 3), (5, 6)])
def test_crops_share_the_overlap_frame_by_frame(n_frames: int, unit: int) -> None:
    x, g = numbered(4, n_frames), generator()
    for _ in range(50):
        crops = ts2vec.draw_crops(4, n_frames, g, temporal_unit=unit)
        first, second = crops.align(*crops.cut(x))
        assert first.shape[1] == crops.overlap >= min(2 ** (unit + 1), n_frames)
        torch.testing.assert_close(first, second)
        assert (first.div(n_frames).long() == torch.arange(4)[:, None, None]).all()  # own sequence


def test_released_crops_meet_in_the_stated_share_of_draws() -> None:
    """Uncut, frame k of one is frame k of the other only where both begin together: 9.1 % at T = 200."""
    n_frames, g, n = 200, generator(), 4000
    starts = [(c.first[0], c.second[0]) for c in (ts2vec.draw_crops(1, n_frames, g) for _ in range(n))]
    harmonic = torch.arange(1, n_frames).double().reciprocal().cumsum(0)
    expected = (harmonic / torch.arange(1, n_frames)).sum().item() / (n_frames - 1)
    share = sum(a == b for a, b in starts) / n
    assert expected == pytest.approx(0.091, abs=5e-4)
    assert share == pytest.approx(expected, abs=4 * (expected / n) ** 0.5)
    shifts = torch.tensor([b - a for a, b in starts]).float()
    assert shifts.median() == pytest.approx(13, abs=3) and shifts.mean() == pytest.approx(24.5, abs=2)


def test_timestamp_mask_keeps_half() -> None:
    mask = ts2vec.timestamp_mask(100, 200, generator())
    assert mask.dtype == torch.bool and mask.float().mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "n, n_frames, scale", [(2, 2, 5.0), (8, 200, 5.0), (1, 40, 2.0), (3, 30, 10.0), (2, 7, 0.01)]
)
def test_pairs_are_near_in_the_sequence_and_distant(n: int, n_frames: int, scale: float) -> None:
    near, distant = tnc.draw_pairs(n, n_frames, generator(), scale=scale, count=30)
    anchor = torch.arange(n * n_frames)[:, None]
    assert near.shape == distant.shape == (n * n_frames, 30)
    assert (near // n_frames == anchor // n_frames).all() and (near != anchor).all()
    assert distant.min() >= 0 and distant.max() < n * n_frames
    same = distant // n_frames == anchor // n_frames
    far = max(1, round(5 * scale))
    assert ((distant - anchor).abs() >= far)[same].all()
    t = torch.arange(n_frames).repeat(n)
    has_distant = (t >= far) | (t + far < n_frames)
    assert (same == has_distant[:, None]).all()


def test_pairs_take_every_distant_frame_and_both_sides_alike() -> None:
    near, distant = tnc.draw_pairs(1, 41, generator(), scale=2.0, count=20_000)
    counts = distant[20].bincount(minlength=41)
    assert (counts[11:30] == 0).all()  # 10 or more away from frame 20
    assert counts[:11].float().mean() == pytest.approx(20_000 / 22, rel=0.05)
    assert counts[30:].float().mean() == pytest.approx(20_000 / 22, rel=0.05)
    offsets = (near[20] - 20).float()
    assert offsets.mean() == pytest.approx(0, abs=0.06) and offsets.abs().max() <= 12


@pytest.mark.parametrize("ratio, length", [(0.5, 3.0), (0.3, 5.0)])
def test_masks_hide_the_share_in_runs_of_the_length(ratio: float, length: float) -> None:
    x = torch.ones(4, 500, 20)
    masked, keep = simmtm.masked_copies(x, generator(), ratio=ratio, length=length)
    assert keep[:4].all() and torch.equal(masked, keep.float())
    hidden = ~keep[4:].transpose(1, 2).flatten()  # along time, then features, then series
    assert hidden.float().mean() == pytest.approx(ratio, abs=0.02)
    starts = (hidden[1:] & ~hidden[:-1]).sum()
    assert hidden.sum() / starts == pytest.approx(length, rel=0.05)


def test_alignments_walk_without_a_gap_and_never_more_than_one_frame_off() -> None:
    """Half of the path lies on the diagonal, and noise is off by about half a standard deviation."""
    n_frames = 200
    first, cells = mf_clr.draw_alignments(n_frames, 500, generator())
    last, frame = first + cells - 1, torch.arange(n_frames)[:, None]
    assert (first[0] == 0).all() and (last[-1] == n_frames - 1).all()
    step = first[1:] - last[:-1]
    assert step.min() == 0 and step.max() == 1  # right, or diagonal
    assert (first - frame).abs().max() == 1 and (last - frame).abs().max() == 1
    on = ((first <= frame) & (last >= frame)).sum() / cells.sum()
    assert on == pytest.approx(0.5, abs=0.02)
    x = torch.randn(8, n_frames, 30, generator=generator())
    assert (mf_clr.augment(x, generator()) - x).abs().mean() == pytest.approx(0.52, abs=0.03)


def test_alignments_add_five_per_cent_of_the_mean_to_a_constant() -> None:
    """First cells with a random sign, so the total lies below 5 % of the mean in either direction."""
    x = torch.full((2, 300, 5), 10.0)
    change = mf_clr.augment(x, generator()) - x
    assert change.abs().sum(1).max() <= 0.05 * 10 + 1e-3 and change.abs().sum(1).min() > 0.2


def test_cost_view_changes_a_share_of_sequences_by_each_step() -> None:
    x = torch.zeros(4000, 3, 2)
    view = cost.augment(x, generator())
    untouched = (view == 0).flatten(1).all(1).float().mean()
    assert untouched == pytest.approx(0.25, abs=0.03)  # of zeros, scaling changes nothing
    assert torch.equal(cost.augment(x, generator(), probability=0.0), x)


def test_infots_view_is_the_raw_one_in_the_stated_share() -> None:
    x, g = torch.randn(2, 20, 3, generator=generator()), generator()
    raw = sum(infots.augment(x, g, probability=0.2) is x for _ in range(1000))
    assert raw == pytest.approx(800, abs=50)


def test_infots_augmentations_do_what_they_say() -> None:
    x, g = 1 + torch.rand(6, 100, 3, generator=generator()), generator()
    kept = infots.subsequence(x, g)[0, :, 0] != 0
    assert 2 <= kept.sum() == kept.nonzero().max() - kept.nonzero().min() + 1
    assert (infots.cutout(x, g)[0, :, 0] == 0).sum() == 10
    ratio = infots.scaling(x, g) / x
    assert ratio.std(1).max() < 1e-5 and ratio[:, 0].std() > 0.2
    assert (infots.jitter(x, g) - x).std() == pytest.approx(0.3, abs=0.03)
    clock = numbered(1, 100).expand(6, -1, -1).contiguous()  # a warped clock shows how time runs
    for warp in (infots.time_warp, infots.window_slice, infots.window_warp):
        t = warp(clock, g)[..., 0]
        assert (t.diff(dim=1) >= -1e-4).all() and t.min() >= 0 and t.max() <= 99 + 1e-3
    torch.testing.assert_close(infots.time_warp(clock, g)[:, [0, -1], 0], torch.tensor([[0.0, 99.0]] * 6))
    span = infots.window_slice(clock, g)[..., 0]
    torch.testing.assert_close(span[:, -1] - span[:, 0], torch.full((6,), 49.0))
    whole = infots.window_warp(clock, g)[..., 0]
    torch.testing.assert_close(whole[:, [0, -1]], torch.tensor([[0.0, 99.0]] * 6))


def test_infots_mixture_sums_the_seven_by_their_weights() -> None:
    x = torch.rand(2, 30, 3, generator=generator())
    weights = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    g = generator(3)
    for before in infots.augmentations()[:3]:
        before(x, g)
    torch.testing.assert_close(infots.mixture(x, weights, generator(3)), infots.scaling(x, g))


@pytest.mark.parametrize(
    "draw",
    [
        lambda x, g: ts2vec.draw_crops(4, x.shape[1], g).cut(x)[0],
        cost.augment,
        mf_clr.augment,
        lambda x, g: infots.augment(x, g, probability=1.0),
        lambda x, g: simmtm.masked_copies(x, g)[0],
        lambda x, g: tnc.draw_pairs(4, x.shape[1], g)[0],
    ],
)
def test_views_are_those_of_the_generator_alone(draw: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    x = torch.rand(4, 60, 3, generator=generator())
    before = torch.random.get_rng_state()
    one, again, other = draw(x, generator(1)), draw(x, generator(1)), draw(x, generator(2))
    assert torch.equal(one, again) and (one.shape != other.shape or not torch.equal(one, other))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_soft_targets_are_symmetric_unless_scaled_by_columns() -> None:
    x = torch.rand(9, 5, 4, generator=generator())
    d = softclt.cosine_distances(x)
    w = softclt.instance_weights(softclt.scaled(d), tau=5.0)
    torch.testing.assert_close(w, w.T)
    assert (w.diagonal() == 1).all()
    off = w[~torch.eye(9, dtype=torch.bool)]
    assert off.max() == 0.5 and off.min() == pytest.approx(1 / (1 + torch.e**5), rel=1e-3)
    columns = softclt.scaled(d, scaling="columns")
    assert not torch.equal(columns, columns.T) and columns.min() == 0 and columns.max() == 1
    assert (softclt.scaled(torch.ones(4, 4)) == 0).all() and (softclt.scaled(torch.ones(1, 1)) == 0).all()


@pytest.mark.slow  # numba compiles it
def test_dtw_is_at_most_the_euclidean_square_and_zero_on_itself() -> None:
    x = torch.rand(4, 12, 3, generator=generator())
    d = softclt.dtw_distances(x)
    assert torch.equal(d, d.T) and (d.diagonal() == 0).all()
    assert (d <= softclt.euclidean_distances(x).square() + 1e-5).all() and d.max() > 0
