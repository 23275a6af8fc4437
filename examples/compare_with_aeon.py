"""Compare our methods with aeon's self-supervised ones, as features for the same classifier.

python examples/compare_with_aeon.py                              # ArrowHead, which comes with aeon
python examples/compare_with_aeon.py --data-dir UCR Adiac SwedishLeaf --epochs 10

Every method trains for the same number of passes over the training series. aeon's TRILITE and TimeMCL need
TensorFlow (pip install tensorflow-cpu); without it they are left out, and a line says so. Times are processor
time, so that other programs on the machine do not count.
"""

import argparse
import importlib.util
import math
import time
from pathlib import Path

import numpy as np
from aeon.datasets import load_arrow_head, load_from_tsv_file
from aeon.transformations.collection.self_supervised import TRILITE, TimeMCL
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emargin_train.estimators import ESTIMATORS

OURS = ("emargin", "infonce", "ts2vec")
UNTRAINED = ("raw", "pca", "random")
BATCH = 64  # as in aeon


def series(folder: Path | None, name: str) -> tuple[np.ndarray, ...]:
    """Training series (n_cases, 1, n_timepoints) and classes, test series and classes."""
    if folder is None:
        return (*load_arrow_head("train"), *load_arrow_head("test"))
    found = [load_from_tsv_file(str(folder / name / f"{name}_{half}.tsv")) for half in ("TRAIN", "TEST")]
    return found[0][0], found[0][1], found[1][0], found[1][1]


def methods(n_cases: int, epochs: int) -> dict:
    """A new transformer of each name."""
    steps = epochs * math.ceil(n_cases / BATCH)
    made = {name: ESTIMATORS[name](random_state=0) for name in UNTRAINED}
    made |= {name: ESTIMATORS[name](iterations=steps, batch_size=BATCH, random_state=0) for name in OURS}
    if importlib.util.find_spec("tensorflow"):
        import tensorflow

        tensorflow.keras.utils.disable_interactive_logging()  # a bar for each call
        aeons = {"aeon TRILITE": TRILITE, "aeon TimeMCL": TimeMCL}
        made |= {
            name: kind(n_epochs=epochs, batch_size=BATCH, random_state=0) for name, kind in aeons.items()
        }
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=["ArrowHead"], help="Datasets of the UCR archive.")
    parser.add_argument("--data-dir", type=Path, help="The folder that holds a folder of each dataset.")
    parser.add_argument("--epochs", type=int, default=10, help="Passes over the training series.")
    args = parser.parse_args()
    if args.data_dir is None and args.names != ["ArrowHead"]:
        parser.error("--data-dir is missing: only ArrowHead comes with aeon")
    print("| data | method | features | training s | encoding s | test accuracy |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in args.names:
        x, y, test_x, test_y = series(args.data_dir, name)
        for method, transformer in methods(len(x), args.epochs).items():
            began = time.process_time()
            transformer.fit(x, y)
            fitted = time.process_time()
            features, test_features = (
                transformer.transform(one).reshape(len(one), -1) for one in (x, test_x)
            )
            ended = time.process_time()
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            accuracy = classifier.fit(features, y).score(test_features, test_y)
            seconds = f"{fitted - began:.1f} | {ended - fitted:.1f}"
            print(f"| {name} | {method} | {features.shape[1]} | {seconds} | {accuracy:.3f} |", flush=True)
    if not importlib.util.find_spec("tensorflow"):
        print("TensorFlow is not installed: TRILITE and TimeMCL are left out")


if __name__ == "__main__":
    main()
