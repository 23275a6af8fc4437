#!/usr/bin/env bash
# The studies behind docs/findings.md: docs/findings/run.sh DATA [OUT]
# DATA holds ecg/mitdb, sleepeeg/dreams-spindles and harth/selfback, as examples/*.toml name them.
# A study that is there is gone on with; one that is whole is passed over in seconds.
set -euo pipefail
data=${1:?give the folder of the real recordings}
out=${2:-runs/findings}
python=${PYTHON:-python}

sets=(sleepeeg-sim harth-sim ecg-sim ecg selfback dreams-sleep)
declare -A source=(
    [sleepeeg-sim]="--dataset sleepeeg-sim"
    [harth-sim]="--dataset harth-sim"
    [ecg-sim]="--dataset ecg-sim"
    [ecg]="--dataset ecg --data-dir $data/ecg/mitdb"
    [selfback]="--dataset examples/selfback.toml --data-dir $data"
    [dreams-sleep]="--dataset examples/dreams-sleep.toml --data-dir $data"
)
common="--design grid --seeds 0,1,2,3,4 --iterations 200 --sequence-length 50 --evaluation-frames 1000
    --keep-embeddings none --out $out"
emargin="--objective emargin --margin 5 --temperature 0.1"
alone="--references pca --baseline-trials 0"

study() { # set, kind, flags
    # shellcheck disable=SC2086
    "$python" -m study.run ${source[$1]} $common --name "$1-$2" ${@:3}
}
for set in "${sets[@]}"; do
    study "$set" threshold $emargin --threshold=-1,0,0.2,0.4,0.6,0.8,0.9,0.99 --snr-db 30,10,0 \
        --references raw,log-raw,pca,random,supervised --baseline-trials 1
    study "$set" gates $emargin --gate intended,all-similar,all-dissimilar,random,oracle,released \
        --dissimilar-share 0.5 --snr-db 30 $alone
    study "$set" infonce --objective infonce --temperature 0.05,0.07,0.1,0.14,0.2,0.3,0.5,1 --snr-db 30 $alone
    study "$set" semi --objective emargin-semi --margin 5 --temperature 0.1 --dissimilar-share 0.5 \
        --label-share 0.01,0.05,0.1,1 --supervised-weight 0.3,3 --snr-db 30 $alone
done
for set in "${sets[@]}"; do
    study "$set" share $emargin --dissimilar-share 0,0.1,0.25,0.5,0.75,1 --snr-db 30,10,0 $alone
done
