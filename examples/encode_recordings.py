"""Turn recordings into embeddings, with an encoder that `train_encoder.py` or a study has kept.

python examples/encode_recordings.py encoder.pt sleepeeg-sim
"""

import sys

import emargin_train

path, dataset = sys.argv[1:] or ("encoder.pt", "sleepeeg-sim")
encoder = emargin_train.load_encoder(path)
for recording in emargin_train.recordings(dataset):  # other channels, units or rates: converted or refused
    found = encoder.encode(recording)  # found.h: (frames, dimensions), found.start_s: where each frame begins
    print(f"record {found.record}: {found.h.shape[0]} frames, {found.h.shape[1]} numbers each")
