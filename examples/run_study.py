"""Run a small study, see its trials, and write the report. The same command again resumes it.

python examples/run_study.py
"""

import study

results = study.run(
    "sleepeeg-sim",
    method="emargin",
    trials=4,
    seeds=[0, 1],
    threshold="0.2:0.99",  # a range is searched
    margin=[1, 5],  # a list is a choice
    subjects=4,  # the rest makes it quick
    iterations=20,
    references="raw",
    evaluation_frames=500,
    address="local",
)
print(results.trials("silhouette", "probe_balanced_accuracy").to_string())
print(f"report: {results.report()}")
