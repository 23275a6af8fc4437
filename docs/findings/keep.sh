#!/usr/bin/env bash
# What docs/findings.md is made from, taken out of finished studies: docs/findings/keep.sh [OUT]
# Tables and settings, without this machine's folders, and beside those of q2 two extracts of the embeddings, which are
# too large to be kept: projected frames, and Silhouettes with exchanged spectra. A study that has not ended is left
# out, and what was kept of other studies before stays.
# Run it from the root; `make findings` then makes the document.
set -euo pipefail
out=${1:-runs/plan}
python=${PYTHON:-python}
kept=docs/findings

complete() { # whether a study has all the rows that it was asked for
    [ -f "$1/study.toml" ] && [ -f "$1/manifest.json" ] && [ -f "$1/results.parquet" ] && "$python" -c '
import json, sys
import pyarrow.parquet as pq
rows = pq.read_metadata(f"{sys.argv[1]}/results.parquet").num_rows
sys.exit(rows < json.load(open(f"{sys.argv[1]}/manifest.json"))["asked"])' "$1"
}
for folder in "$out"/*/; do
    name=$(basename "$folder")
    complete "$folder" || continue
    mkdir -p "$kept/$name"
    cp "$folder/results.parquet" "$folder/manifest.json" "$kept/$name"
    sed -e 's|^data_dir = .*|data_dir = "DATA"|' -e 's|^out = .*|out = "runs/plan"|' "$folder/study.toml" >"$kept/$name/study.toml"
done
for folder in "$out"/q2-*-emargin/; do
    other=${folder%-emargin/}-infonce
    complete "$folder" && complete "$other" || continue
    for arm in "$folder" "$other"; do
        "$python" -m analysis.pictures "$arm" --out "$kept/$(basename "$arm")/pictures.parquet"
    done
    "$python" -m analysis.transplant $kept/plan.toml headline "$other" "$folder" \
        --out "$kept/$(basename "$folder")/transplant.parquet"
done
