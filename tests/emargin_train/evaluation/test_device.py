"""Evaluation on another device than the CPU gives the same numbers, up to a tolerance.

Without a GPU the simulated device of `elsewhere` is used, whose tensors compute on the CPU but are kept
separate.
"""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from emargin_train.cost import Clock, PeakMemory
from emargin_train.data.frames import Frames, Splits
from emargin_train.encode import encode
from emargin_train.evaluation import kmeans, probes
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import Evaluation, evaluate
from emargin_train.evaluation.metrics import METRICS
from emargin_train.evaluation.steps import Adam, Batches
from emargin_train.methods.base import Method
from emargin_train.precision import computing_in, for_float32
from emargin_train.pretrain import Run
from emargin_train.train import start
from tests.emargin_train.configs import config

from .elsewhere import NAME, Elsewhere
from .synthetic import splits

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA GPU, to compare it to a CPU"
)
EXACT = ("largest_cluster_share", "nmi", "ari")  # of the same clusters
RELATIVE = 1e-3  # everything measured in closed form
PROBED = 0.01  # accuracies and the like: one frame in a hundred may lie on the border


def spectra(frames: Frames, mask: np.ndarray) -> np.ndarray:
    return frames.x()[mask]


def kinked(frames: Frames, mask: np.ndarray) -> np.ndarray:
    """Random features of the spectra, half of them 0, as of an encoder; classes overlap."""
    rng = np.random.default_rng(5)
    mixed = frames.x()[mask] @ rng.standard_normal((6, 40)) + 2 * rng.standard_normal((int(mask.sum()), 40))
    return np.maximum(mixed, 0).astype(np.float32)


def untrained(data: Splits, **more: object) -> Method:
    return start(config("infonce", **more), data).method


def assert_close(found: Evaluation, expected: Evaluation, same_clusters: float = 1.0) -> None:
    """same_clusters: share of frames in the same cluster; below 1 their scores are only near."""
    assert found.reasons == expected.reasons
    assert (found.embeddings.cluster == expected.embeddings.cluster).mean() >= same_clusters
    np.testing.assert_allclose(found.embeddings.h, expected.embeddings.h, rtol=1e-5, atol=1e-6)
    for name, value in expected.metrics.items():
        if value is None:
            assert found.metrics[name] is None
        elif METRICS[name].group == "probe":
            assert found.metrics[name] == pytest.approx(value, abs=PROBED), name
        elif METRICS[name].group == "clustering" and same_clusters < 1:
            assert found.metrics[name] == pytest.approx(value, rel=0.02, abs=0.01), name
        elif name.removeprefix("test_") in EXACT:
            assert found.metrics[name] == value, name
        elif "silhouette" in name:
            assert found.metrics[name] == pytest.approx(value, abs=1e-4), name
        else:
            assert found.metrics[name] == pytest.approx(value, rel=RELATIVE), name


@pytest.mark.parametrize("embed", [spectra, kinked])
def test_a_device_finds_what_a_cpu_finds(embed):
    data = splits()
    chosen = choose(data, cap=300)
    expected = evaluate(embed, data, chosen)
    with Elsewhere():
        assert_close(evaluate(embed, data, chosen, device=NAME), expected)


def test_an_encoder_s_tensors_stay_where_they_are():
    """What comes back is small and seldom asked for, but for the embeddings that are kept."""
    data = splits(test=False)
    chosen, method = choose(data, cap=200), untrained(data, spectrum_scale="log")
    embed = partial(encode, method)
    expected = evaluate(embed, data, chosen)
    with Elsewhere() as device:
        method.to(NAME)
        assert isinstance(embed(data.validation, chosen.natural), torch.Tensor)
        device.looks.clear()
        found = evaluate(embed, data, chosen, device=NAME)
    np.testing.assert_allclose(found.embeddings.h, expected.embeddings.h, rtol=1e-4, atol=1e-5)
    assert type(found.embeddings.h) is np.ndarray
    assert sum(device.looks.values()) < 2000  # KMeans and L-BFGS look at each step, probes once an epoch


@pytest.mark.parametrize("kind", ["constant", "zero", "nan", "two points", "collapsed training split"])
def test_what_has_no_value_on_a_cpu_has_none_on_a_device(kind):
    data = splits()

    def embed(frames: Frames, mask: np.ndarray) -> np.ndarray:
        h = spectra(frames, mask)
        if kind == "nan":
            h[-1, 0] = np.nan
        if kind == "two points":
            h = (frames.y[mask][:, None] == 0).astype(np.float32) * np.ones(4, np.float32)
        if kind in ("constant", "zero") or (kind.startswith("collapsed") and frames is data.train):
            h[:] = 0.3 * (kind != "zero")
        return h

    chosen = choose(data, cap=100)
    expected = evaluate(embed, data, chosen)
    with Elsewhere():
        found = evaluate(embed, data, chosen, device=NAME)
    assert found.reasons == expected.reasons and found.reasons
    assert {n for n, v in found.metrics.items() if v is None} == set(expected.reasons)


def test_very_large_and_very_small_embeddings_are_scaled():
    data = splits(test=False)
    chosen = choose(data, cap=200)
    expected = evaluate(spectra, data, chosen)
    for power in (100, -110):
        with Elsewhere():
            found = evaluate(lambda f, m, p=power: np.ldexp(spectra(f, m), p), data, chosen, device=NAME)
        assert found.reasons == expected.reasons
        for name, value in expected.metrics.items():
            if value is not None and not name.startswith("paper_probe"):
                assert found.metrics[name] == pytest.approx(value, rel=RELATIVE, abs=PROBED), name


def test_the_device_of_these_tests_keeps_its_tensors_apart():
    with Elsewhere() as device:
        far = torch.ones(3).to(NAME)
        assert far.device.type == NAME and float((far * 2).sum()) == 6.0
        assert (far.cpu().numpy() == 1).all() and sum(device.looks.values()) == 3
        with pytest.raises(AssertionError, match="mixes"):
            far + torch.ones(3)
        with pytest.raises((TypeError, RuntimeError)):
            far.numpy()


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_evaluation_is_in_full_float32_whatever_was_chosen(chosen):
    data = splits(test=False)
    before, seen = torch.get_float32_matmul_precision(), []

    def embed(frames: Frames, mask: np.ndarray) -> np.ndarray:
        seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        return spectra(frames, mask)

    def fails(frames: Frames, mask: np.ndarray) -> np.ndarray:
        raise OSError("no such store")

    torch.set_float32_matmul_precision(chosen)
    try:
        evaluate(embed, data, choose(data, cap=60))
        assert set(seen) == {(for_float32(), False)}
        with pytest.raises(OSError):
            evaluate(fails, data, choose(data))
        assert torch.get_float32_matmul_precision() == chosen
    finally:
        torch.set_float32_matmul_precision(before)


@needs_gpu
@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_a_gpu_finds_what_a_cpu_finds(scale):
    """The same encoder on both, whatever TensorFloat-32 says; and the same embeddings, copied over."""
    data = splits()
    method = untrained(data, spectrum_scale=scale)
    chosen, embed = choose(data), partial(encode, method)
    expected = evaluate(embed, data, chosen)
    assert_close(evaluate(embed, data, chosen, device="cuda"), expected, 0.99)
    assert_close(evaluate(kinked, data, chosen, device="cuda"), evaluate(kinked, data, chosen), 0.99)
    method.to("cuda")
    with computing_in("tf32"):
        assert_close(evaluate(embed, data, chosen, device="cuda"), expected, 0.99)


@needs_gpu
def test_on_a_gpu_nobody_waits_for_steps():
    """A step of a probe, and the nearest centres of KMeans, under torch's own watch."""
    x = torch.rand(1000, 20, device="cuda")
    y = np.arange(1000) % 3
    goal = torch.nn.functional.one_hot(torch.from_numpy(y)).to(x)
    layers = [torch.zeros(3, 20, device="cuda"), torch.zeros(3, device="cuda")]
    adam = Adam(layers, rate=1e-3, most_steps=5)
    step = probes.paper_step(x, goal, adam, Batches(1000, 128, x.device))
    centres, columns = x[:30].reshape(10, 3, 20), x.T.contiguous()

    def both() -> None:
        step()
        kmeans.nearest(columns, centres)

    both()  # libraries set themselves up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            both()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_encoding_on_a_device_is_encoding_on_a_cpu():
    data = splits(test=False)
    mask = choose(data).natural
    for kernel_size in (1, 3):
        method = untrained(data, kernel_size=kernel_size)
        here = encode(method, data.validation, mask)
        assert isinstance(here, np.ndarray)
        with Elsewhere():
            there = encode(method.to(NAME), data.validation, mask)
            np.testing.assert_allclose(there.cpu().numpy(), here, rtol=1e-5, atol=1e-6)


def test_a_reference_is_evaluated_where_its_trial_runs():
    """Its arrays are taken over; what is kept comes back."""
    data = splits(test=False)
    some = dataclasses.replace(data, validation=data.validation.select(np.arange(10)))
    chosen = choose(some, cap=60)
    with Elsewhere() as device:
        state = start(config("raw"), some)
        found = Run({}, some, chosen, PeakMemory(), NAME, None).trained(state, Clock()).evaluation
    assert (
        device.looks
        and found is not None
        and (found.embeddings.h == spectra(some.validation, chosen.balanced)).all()
    )
