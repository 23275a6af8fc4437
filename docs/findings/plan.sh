#!/usr/bin/env bash
# The studies that plan.toml decides with: docs/findings/plan.sh DATA [OUT] [QUESTION ...]
# DATA holds the folders that examples/*.toml name; QUESTION is q1, q2, q3, q3b (default: these), or curve or more,
# which have settings that no contrast of plan.toml needs. SETS="hapt vfdb" runs these data sets alone.
# A study that was interrupted is resumed; a complete one takes seconds. Run it from a clean commit.
set -euo pipefail
data=${1:?give the folder of the real recordings}
out=${2:-runs/plan}
questions=${*:3}
python=${PYTHON:-python}

declare -A source=(
    [sleepeeg-sim]="--dataset sleepeeg-sim"
    [hapt]="--dataset examples/hapt-parquet.toml"
    [mitdb-125]="--dataset docs/findings/mitdb-125.toml"
    [ltafdb-rr]="--dataset examples/ltafdb-rr.toml"
    [ucddb]="--dataset examples/ucddb.toml"
    [vfdb]="--dataset examples/vfdb.toml"
)
read -ra sets <<<"${SETS:-hapt sleepeeg-sim ltafdb-rr ucddb vfdb mitdb-125}"
common="--design grid --split-seeds 0:9 --seeds 0 --iterations 200 --sequence-length 100 --evaluation-frames 500
    --temperature 0.1 --baseline-trials 0 --out $out --address local"

study() { # question, set, name, flags
    local where="--data-dir $data" kept=none
    [ "$1" = q2 ] && kept=all # pictures and geometry need the embeddings
    [ "$2" = sleepeeg-sim ] && where=""
    # shellcheck disable=SC2086
    "$python" -m study.run ${source[$2]} $where $common --keep-embeddings $kept \
        --name "$1-$2-$3" ${@:4}
}
q1() {
    study q1 "$1" emargin --method emargin --margin 5 --dissimilar-share 0.5 --references=
    study q1 "$1" semi --method emargin-semi --margin 5 --dissimilar-share 0.5 --label-share 0.1 \
        --label-control none,shuffled,hidden --supervised-weight 1 --references=
    study q1 "$1" infonce --method infonce,infonce-semi,labels-only --label-share 0.1 --supervised-weight 1 \
        --references=
}
q2() {
    study q2 "$1" infonce --method infonce --spread-weight=-3,-1,0 --references raw,pca,random
    study q2 "$1" emargin --method emargin --margin 5 --dissimilar-share 0.5 --gate all-dissimilar \
        --spread-weight 0,1,3 --references=
    study q2 "$1" flipped --method emargin --margin 5 --dissimilar-share 0.5 --gate all-dissimilar \
        --dissimilar-sign=-1 --references=
    study q2 "$1" similar --method emargin --margin 5 --dissimilar-share 0.5 --gate all-similar \
        --similar-sign=-1,1 --references=
}
q3() { # quiet and very noisy recordings
    q3_of "$1" "" --snr-db 30,0
}
q3b() { # the noise level between
    q3_of "$1" -10db --snr-db 10
}
q3_of() { # set, end of the names, flags
    local emargin="--method emargin --margin 5 --references= ${*:3}"
    study q3 "$1" "share$2" $emargin --dissimilar-share 0,0.5,1
    study q3 "$1" "paper$2" $emargin --threshold 0.4
    study q3 "$1" "random$2" $emargin --dissimilar-share 0.5 --gate random
}
curve() { # the shares between
    local emargin="--method emargin --margin 5 --references= --snr-db 30,10,0"
    study curve "$1" share $emargin --dissimilar-share 0.02,0.05,0.1,0.25
    study curve "$1" random $emargin --dissimilar-share 0.05,0.25 --gate random
}
more() {
    study more "$1" weights --method emargin-semi --margin 5 --dissimilar-share 0.5 --label-share 0.1 \
        --supervised-weight 0.1,10 --references=
    study more "$1" thresholds --method emargin --margin 5 --threshold 0.2,0.6,0.8 --references=
}
for question in ${questions:-q1 q2 q3 q3b}; do
    for set in "${sets[@]}"; do "$question" "$set"; done
done

# What the document is made from: tables and settings, without this machine's folders.
for folder in "$out"/*/; do
    kept=docs/findings/$(basename "$folder")
    [ -f "$folder/results.parquet" ] || continue
    mkdir -p "$kept"
    cp "$folder/results.parquet" "$folder/manifest.json" "$kept"
    sed -e 's|^data_dir = .*|data_dir = "DATA"|' -e 's|^out = .*|out = "runs/plan"|' "$folder/study.toml" >"$kept/study.toml"
done
