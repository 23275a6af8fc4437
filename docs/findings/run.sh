#!/usr/bin/env bash
# The studies behind docs/findings.md: docs/findings/run.sh DATA [OUT]
# DATA holds ecg/mitdb, sleepeeg/dreams-spindles and harth/selfback, as examples/*.toml name them.
# A study that exists is resumed; a complete one takes seconds.
set -euo pipefail
data=${1:?give the folder of the real recordings}
out=${2:-runs/findings}
python=${PYTHON:-python}

sets=(sleepeeg-sim dreams-sleep harth-sim selfback ecg-sim mitdb-125)
declare -A source=(
    [sleepeeg-sim]="--dataset sleepeeg-sim"
    [harth-sim]="--dataset harth-sim"
    [ecg-sim]="--dataset ecg-sim"
    [mitdb-125]="--dataset docs/findings/mitdb-125.toml --data-dir $data"
    [selfback]="--dataset examples/selfback.toml --data-dir $data"
    [dreams-sleep]="--dataset examples/dreams-sleep.toml --data-dir $data"
)
common="--design grid --seeds 0,1,2,3,4 --iterations 100 --sequence-length 50 --evaluation-frames 500
    --keep-embeddings none --out $out --address local"
emargin="--method emargin --margin 5 --temperature 0.1"
alone="--references pca --baseline-trials 0"

study() { # set, kind, flags
    # shellcheck disable=SC2086
    "$python" -m study.run ${source[$1]} $common --name "$1-$2" ${@:3}
}
for set in "${sets[@]}"; do
    levels=30,10,0
    case $set in ecg-sim | mitdb-125) levels=30,0 ;; esac # fewer levels: with eight times the features, these take longest
    study "$set" threshold $emargin --threshold=-1,0.4,0.6,0.8,0.9,0.99 --snr-db $levels \
        --references raw,pca,random --baseline-trials 1
done
for set in "${sets[@]}"; do
    study "$set" gates $emargin --gate intended,all-similar,all-dissimilar,random,oracle,released \
        --dissimilar-share 0.5 --snr-db 30 $alone
    study "$set" semi --method emargin-semi --margin 5 --temperature 0.1 --dissimilar-share 0.5 \
        --label-share 0.01,0.05,0.1,1 --supervised-weight 1 --snr-db 30 --references supervised --baseline-trials 0
    study "$set" infonce --method infonce --temperature 0.05,0.1,0.2,0.3,0.5,1 --snr-db 30 $alone
done
for set in sleepeeg-sim mitdb-125; do # the other methods, at the paper's threshold
    study "$set" objectives --method emargin,emargin-released,infonce-released,emargin-semi --threshold 0.4 \
        --margin 5 --temperature 0.1 --snr-db 30 $alone
    study "$set" adjacent --method emargin-adjacent --dissimilar-share 0.5 --margin 0.5 --temperature 0.1 \
        --snr-db 30 $alone
done
for set in "${sets[@]}"; do
    study "$set" share $emargin --dissimilar-share 0,0.25,0.5,0.75,1 --snr-db 30,0 $alone
done

# The document is made from these tables and settings, without the folders of this machine.
for folder in "$out"/*/; do
    kept=docs/findings/$(basename "$folder")
    [ -f "$folder/results.parquet" ] || continue
    mkdir -p "$kept"
    cp "$folder/results.parquet" "$folder/manifest.json" "$kept"
    sed -e 's|^data_dir = .*|data_dir = "DATA"|' -e 's|^out = .*|out = "runs/findings"|' "$folder/study.toml" >"$kept/study.toml"
done
