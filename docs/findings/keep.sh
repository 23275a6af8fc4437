#!/usr/bin/env bash
# What docs/findings.md is made from, taken out of finished studies: docs/findings/keep.sh [OUT]
# Tables and settings, without this machine's folders, and two extracts of the embeddings of q2, which are too large
# to be kept: projected frames, and Silhouettes with exchanged spectra. A study that has not ended is left out.
# Run it from the root; plan.sh runs it at its end, and `make findings` makes the document afterwards.
set -euo pipefail
out=${1:-runs/plan}
python=${PYTHON:-python}
kept=docs/findings

for folder in "$out"/*/; do
    name=$(basename "$folder")
    [ -f "$folder/results.parquet" ] || continue
    mkdir -p "$kept/$name"
    cp "$folder/results.parquet" "$folder/manifest.json" "$kept/$name"
    sed -e 's|^data_dir = .*|data_dir = "DATA"|' -e 's|^out = .*|out = "runs/plan"|' "$folder/study.toml" >"$kept/$name/study.toml"
done
shopt -s nullglob
arms=("$out"/q2-*-infonce "$out"/q2-*-emargin)
if [ ${#arms[@]} -gt 0 ]; then
    "$python" -m analysis.transplant $kept/plan.toml headline "${arms[@]}" --out $kept/transplant.parquet
    "$python" -m analysis.pictures "${arms[@]}" --out $kept/pictures.parquet
fi
