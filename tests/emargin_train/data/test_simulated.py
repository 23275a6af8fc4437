"""The simulated twins: the same for everybody, with the classes, spectra and change points they promise."""

import numpy as np
import pytest

from emargin_train.data import catalogue, load
from emargin_train.data import simulated_activity as activity
from emargin_train.data import simulated_ecg as heart
from emargin_train.data import simulated_sleep as sleep
from emargin_train.data.build import with_noise
from emargin_train.data.frames import spectra
from emargin_train.data.settings import DataConfig

SIMULATORS = {"sleepeeg-sim": sleep, "harth-sim": activity, "ecg-sim": heart}
PAPER = {  # rate, frame, hop, sequence length, features, classes
    "sleepeeg-sim": (100, 178, 178, 200, 90, 5),
    "harth-sim": (50, 50, 25, 119, 156, 12),
    "ecg-sim": (250, 1500, 750, 200, 1502, 4),
}


@pytest.fixture(scope="module", params=SIMULATORS)
def simulated(request):
    return request.param, SIMULATORS[request.param].simulate(1)


def test_rate_framing_and_classes_are_the_paper_s(simulated):
    name, recording = simulated
    dataset = catalogue.find(name)
    rate_hz, frame, hop, length, features, classes = PAPER[name]
    assert recording.rate_hz == rate_hz
    assert dataset.frame_and_hop(rate_hz) == (frame, hop)
    assert dataset.sequence_length == length and dataset.simulated
    assert len(recording.channels) * (frame // 2 + 1) == features
    assert len(recording.class_names) == classes == len(dataset.class_names or ())
    assert dataset.class_names == recording.class_names


def test_a_subject_is_always_the_same_and_unlike_the_others(simulated):
    name, recording = simulated
    again, other = SIMULATORS[name].simulate(1), SIMULATORS[name].simulate(2)
    np.testing.assert_array_equal(again.signal, recording.signal)
    np.testing.assert_array_equal(again.labels, recording.labels)
    assert (other.labels != recording.labels).any() and (other.signal != recording.signal).any()


def test_every_sample_is_labelled_and_clean_is_kept(simulated):
    _, recording = simulated
    assert (recording.labels >= 0).all()
    np.testing.assert_array_equal(recording.clean, recording.signal)


@pytest.mark.parametrize("snr_db", [-5, 10])
def test_ratio_is_exact(simulated, snr_db):
    name, recording = simulated
    noisy = with_noise(recording, DataConfig(dataset=name, snr_db=snr_db, noise_kind="pink"))
    clean = noisy.clean.astype(np.float64)
    measured = 10 * np.log10(clean.var(1) / (noisy.signal - clean).var(1))
    np.testing.assert_allclose(measured, snr_db, atol=0.1)


def power(recording, stage: int, low_hz: float, high_hz: float) -> float:
    x = spectra(recording.signal, 200, 200)
    y = recording.labels[::200][: len(x)]
    frequencies = np.arange(101) * recording.rate_hz / 200
    return float((x[y == stage][:, (frequencies >= low_hz) & (frequencies < high_hz)] ** 2).sum(1).mean())


def test_sleep_stages_have_their_bands():
    recording = sleep.simulate(1)
    delta, alpha, sigma, muscle = ([power(recording, s, *band) for s in range(5)] for band in
                                   ((1, 4), (8, 12), (12.5, 15), (30, 49)))  # fmt: skip
    assert np.argmax(delta) == 3 and delta[3] > 2.5 * delta[2] > 2.5 * delta[0]
    assert np.argmax(alpha) == 0 and np.argmax(sigma) == 2 and np.argmax(muscle) == 0


def test_sleep_stages_change_as_in_the_hypnograms():
    """Where N3 ends N2 follows nearly always; W is left for N1; bouts last minutes."""
    chain = np.concatenate([sleep.stages(np.random.default_rng(i)) for i in range(60)])
    before, after = chain[:-1], chain[1:]
    ends = before != after
    follows = np.array([np.bincount(after[ends & (before == s)], minlength=5) for s in range(5)], float)
    follows /= follows.sum(1, keepdims=True)
    np.testing.assert_allclose(follows, sleep.FOLLOWS / sleep.FOLLOWS.sum(1, keepdims=True), atol=0.08)
    assert 3 < len(chain) / ends.sum() < 10  # epochs of 30 s
    assert all(stage in chain for stage in range(5))


def test_sleep_powers_change_exactly_where_labels_do():
    """Averaged over changes to and from N3, power steps within the second of the change."""
    steps = []
    for subject in range(3):
        recording = sleep.simulate(subject)
        seconds = (recording.signal[0].reshape(-1, 100) ** 2).mean(1)
        labels = recording.labels[::100]
        for change in np.flatnonzero(np.diff(labels)) + 1:
            if {labels[change], labels[change - 1]} == {2, 3} and 20 < change < len(seconds) - 20:
                around = np.log(seconds[change - 6 : change + 6])
                steps.append(around if labels[change] == 3 else around[::-1])
    mean = np.mean(steps, axis=0)
    assert len(steps) > 30
    assert np.argmax(np.diff(mean)) == 5


def r_peaks(lead: np.ndarray) -> np.ndarray:
    high = (lead > 0.6 * np.quantile(lead, 0.998)).astype(int)
    starts, ends = np.flatnonzero(np.diff(high) == 1), np.flatnonzero(np.diff(high) == -1)
    return np.array(
        [a + np.argmax(lead[a : b + 1]) for a, b in zip(starts, ends[ends > starts[0]], strict=False)]
    )


def test_rhythms_have_their_intervals_and_waves():
    recording = heart.simulate(1)
    lead = recording.signal[0]
    variation, before_beat = {}, {}
    for rhythm in range(4):
        intervals, beats = [], []
        edges = np.flatnonzero(np.diff(recording.labels == rhythm, prepend=False, append=False))
        for first, end in edges.reshape(-1, 2):
            peaks = r_peaks(lead[first:end])
            intervals += np.diff(peaks).tolist()
            beats += [lead[first + p - 55 : first + p - 30] for p in peaks if p >= 60]
        variation[rhythm] = np.std(np.diff(intervals)) / np.mean(intervals)
        before_beat[rhythm] = np.mean(beats, axis=0).max() - np.median(lead)
    assert variation[heart.AFIB] > 0.2
    assert variation[heart.J] < 0.02 < variation[heart.N] < 0.05
    assert before_beat[heart.N] > 0.1 > 2 * before_beat[heart.J]  # the P wave, in mV

    x = spectra(recording.signal[:1], 1500, 750)
    y = recording.labels[750::750][: len(x)]
    inside = y == recording.labels[::750][: len(x)]
    frequencies = np.arange(751) / 6
    fibrillation = x[:, (frequencies > 4.5) & (frequencies < 8)] ** 2
    assert fibrillation[inside & (y == heart.AFIB)].mean() > fibrillation[inside & (y == heart.J)].mean()


def test_any_beat_joins_any_other():
    """A beat ends where the next one starts, at the R peak, whatever their lengths and P waves."""
    height = np.array([[1.2, 1.0, 0.9], [0.8, 1.0, 1.1]])
    beats = [heart.beat_of(rr_s, height * [1, p, 1]) for rr_s in (0.3, 0.61, 0.9, 1.5) for p in (0, 1)]
    for before in beats:
        for after in beats:
            step = np.abs(after[:, 0] - before[:, -1])
            assert (step < 0.35 * np.ptp(before, axis=1) * 50 / before.shape[1]).all()
            assert after[0, 0] == pytest.approx(beats[0][0, 0], rel=1e-3)


def test_activities_have_their_postures_and_cadences():
    recordings = [activity.simulate(subject) for subject in range(4)]

    def of(name: str) -> np.ndarray:
        number = activity.CLASS_NAMES.index(name)
        return np.concatenate([r.signal[:, r.labels == number] for r in recordings], axis=1)

    assert of("standing")[0].mean() < -0.8 and of("standing")[3].mean() < -0.8
    assert of("sitting")[0].mean() < -0.7 and of("sitting")[5].mean() > 0.7  # the thigh is level
    vigour = {name: np.diff(of(name)).std(1).max() for name in ("running", "walking", "lying")}
    assert vigour["running"] > 2 * vigour["walking"] > 20 * vigour["lying"]
    spectrum = spectra(of("walking")[3:4], 200, 200)[:, 3:].mean(0)  # bins a quarter of a hertz apart
    assert 1.5 <= (np.argmax(spectrum) + 3) / 4 <= 2.5


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATORS)
def test_a_study_s_worth_of_frames(name):
    splits = load(DataConfig(dataset=name))
    rate_hz, _, _, length, features, classes = PAPER[name]
    assert splits.train.shape[1:] == (length, features)
    assert len(splits.train) >= 32  # four batches of eight
    for frames in splits.by_name().values():
        counts = np.bincount(frames.y.ravel(), minlength=classes)
        assert counts.min() >= 20 and counts.max() < 0.75 * counts.sum()
