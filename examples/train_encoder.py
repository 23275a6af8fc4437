"""Train one encoder on simulated sleep EEG, measure it, and keep it.

python examples/train_encoder.py
"""

import emargin_train

trained = emargin_train.fit(
    "sleepeeg-sim",  # or "sleepeeg", "harth", "ecg", "ucr:ECG5000", "my.toml"
    method="emargin",
    threshold=0.4,
    margin=5,
    temperature=0.1,
    subjects=5,  # these three make it quick
    iterations=20,
    evaluation_frames=500,
    progress=lambda step, steps, loss: print(f"step {step} of {steps}: loss {loss:.3f}"),
)
for metric in ("silhouette", "probe_balanced_accuracy", "effective_rank"):
    print(f"{metric}: {trained.metrics[metric]:.3f}")
print(f"kept in {trained.save('encoder.pt')}")
