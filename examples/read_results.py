"""Read a finished study, compare its trials, and draw two metrics against each other.

python examples/read_results.py docs/findings/q1-sleepeeg-sim-infonce front.html
"""

import sys

import study

folder, chart = sys.argv[1:] or ("docs/findings/q1-sleepeeg-sim-infonce", "front.html")
results = study.read(folder)
trials = results.trials("silhouette", "probe_balanced_accuracy")
columns = ["method", "label_share", "units", "silhouette", "silhouette_low", "silhouette_high"]
print(trials[columns].sort_values("silhouette").to_string(index=False))
results.front("silhouette", "probe_balanced_accuracy").save(chart)
print(f"chart: {chart}")
