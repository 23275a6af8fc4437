"""What the run of a trial says of its replicates, worked out by hand."""

import pytest

from study.tracking import trial_run

ROW = {
    "method": "emargin", "status": "ok", "split_seed": 0, "seed": 0, "dataset": "tiny", "device": "cpu",
    "threshold": 0.412345, "margin": 5.0, "temperature": 0.1, "gate": "intended",
    "gate_given_as": "threshold", "dissimilar_share": 0.31, "silhouette": 0.2, "nmi": 0.5,
}  # fmt: skip


def test_means_are_of_metrics_that_all_replicates_have():
    other = ROW | {"seed": 1, "silhouette": 0.9, "nmi": None}
    assert trial_run.means([ROW, other]) == {"silhouette": pytest.approx(0.55)}


@pytest.mark.parametrize(
    "statuses, worst", [("ok ok", "ok"), ("ok diverged", "diverged"), ("diverged failed ok", "failed")]
)
def test_the_worst_status_counts(statuses, worst):
    assert trial_run.status([ROW | {"status": one} for one in statuses.split()]) == worst


def test_parameters_are_the_setting_without_what_depends_on_the_replicate():
    found = trial_run.params(ROW)
    assert found["threshold"] == "0.412345" and found["dataset"] == "tiny"
    assert not {"seed", "split_seed", "device", "status", "dissimilar_share", "silhouette"} & found.keys()
    shares = trial_run.params(ROW | {"gate_given_as": "dissimilar_share"})
    assert shares["dissimilar_share"] == "0.31" and "threshold" not in shares


def test_what_was_varied_comes_first():
    of_study = {"emargin/threshold": "0.2:0.99", "emargin/gate": "intended,random", "emargin/margin": "5.0"}
    lines = trial_run.description(of_study, [ROW, ROW]).split("  \n")
    assert lines[0].startswith("Varied: ") and set(lines[0].removeprefix("Varied: ").split(", ")) == {
        "threshold = 0.4123",
        "gate = intended",
    }
    assert lines[1].startswith("Fixed: ") and "margin = 5" in lines[1] and "threshold" not in lines[1]
    assert lines[2] == "Mean over 2 replicates."


def test_a_study_says_what_it_varies():
    params = {"goals": "silhouette,nmi", "seeds": "0,1", "split_seeds": "0", "name": "first"}
    params |= {"emargin/threshold": "0.2:0.9", "emargin/margin": "5", "pca/spectrum_scale": "magnitude"}
    assert trial_run.study_description(params).split("  \n") == [
        "Goals: silhouette, nmi.",
        "emargin: threshold 0.2:0.9.",
        "Each trial: split seeds 0 × seeds 0,1.",
    ]
    assert trial_run.study_description({}) == ""
