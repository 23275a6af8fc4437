#!/usr/bin/env bash
# What docs/findings.md is made from, taken out of finished studies: docs/findings/keep.sh [OUT]
# Tables and settings, without this machine's folders, and two extracts of the embeddings of q2, which are too large
# to be kept: projected frames, and Silhouettes with exchanged spectra. A study that has not ended is left out.
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
arms=()
for folder in "$out"/q2-*-emargin/; do
    other=${folder%-emargin/}-infonce
    complete "$folder" && complete "$other" && arms+=("$other" "${folder%/}")
done
if [ ${#arms[@]} -gt 0 ]; then
    "$python" -m analysis.transplant $kept/plan.toml headline "${arms[@]}" --out $kept/transplant.parquet
    "$python" -m analysis.pictures "${arms[@]}" --out $kept/pictures.parquet
fi
