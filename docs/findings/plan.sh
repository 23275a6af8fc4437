#!/usr/bin/env bash
# The studies behind docs/findings.md: docs/findings/plan.sh DATA [OUT] [QUESTION ...]
# DATA holds the folders that examples/*.toml name, and ucr. QUESTION is one of
#   q1 q2 q3 q3b  the studies that plan.toml decides with (default: these)
#   second    twenty more splits for q1 and q2, on the sets that plan.toml names
#   curve     shares of dissimilar steps between those, which no contrast of plan.toml needs
#   more      other settings that none needs: weights of the labels, thresholds from 0.2 to 0.8
#   ucr       sets of the UCR archive with 12 to 50 classes
#   methods   the eleven methods on one encoder, and four of them as the released code has them
#   size      the contrasts of q2 and q3 that decide most, with the paper's sequence length and steps
#   paper     the paper's ECG settings with its released loss in float64, on its split and on one of subjects
# SETS="hapt vfdb" runs these datasets alone. A study that was interrupted is resumed; a complete one takes seconds.
# Run it from a clean commit; keep.sh then copies what the document needs.
set -euo pipefail
data=${1:?give the folder of the real recordings}
out=${2:-runs/plan}
questions=${*:3}
python=${PYTHON:-python}

declare -A source=(
    [sleepeeg-sim]="--dataset sleepeeg-sim"
    [hapt]="--dataset examples/hapt-parquet.toml"
    [mitdb]="--dataset ecg"
    [mitdb-125]="--dataset docs/findings/mitdb-125.toml"
    [ltafdb-rr]="--dataset examples/ltafdb-rr.toml"
    [ucddb]="--dataset examples/ucddb.toml"
    [vfdb]="--dataset examples/vfdb.toml"
)
common="--design grid --split-seeds 0:9 --seeds 0 --iterations 200 --evaluation-frames 500
    --baseline-trials 0 --out $out --address local"

study() { # question, set, name, flags
    local from=${source[$2]:---dataset ucr:$2} where="--data-dir $data" length=100 kept=none
    local temperature="--temperature 0.1"
    [ "$3" = released ] && temperature="" # those methods have fixed ones
    [ "$1" = q2 ] && kept=all # pictures and geometry need the embeddings
    [ "$2" = sleepeeg-sim ] && where=""
    [ "$2" = mitdb ] && where="--data-dir $data/ecg/mitdb"
    [ "${from#--dataset ucr:}" != "$from" ] && where="--data-dir $data/ucr" length=15
    # shellcheck disable=SC2086
    "$python" -m study.run $from $where $common $temperature --sequence-length $length --keep-embeddings $kept \
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
second() { # the second look of plan.toml; the flags that come last count
    local more="--split-seeds 10:29 --keep-embeddings none --references="
    local all="--method emargin --margin 5 --dissimilar-share 0.5 --gate all-dissimilar"
    study q1 "$1" semi-more --method emargin-semi --margin 5 --dissimilar-share 0.5 --label-share 0.1 \
        --label-control none,shuffled,hidden --supervised-weight 1 $more
    [ "$1" = ltafdb-rr ] && return
    study q1 "$1" emargin-more --method emargin --margin 5 --dissimilar-share 0.5 $more
    study q1 "$1" infonce-more --method infonce,infonce-semi,labels-only --label-share 0.1 --supervised-weight 1 $more
    study q2 "$1" infonce-more --method infonce --spread-weight=-3,0 $more
    study q2 "$1" emargin-more $all --spread-weight 0,1 $more
    study q2 "$1" flipped-more $all --dissimilar-sign=-1 $more
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
    study more "$1" thresholds-between --method emargin --margin 5 --threshold 0.3,0.4,0.5,0.7 --references=
}
ucr() {
    study ucr "$1" classes --method emargin,infonce --margin 5 --dissimilar-share 0.5,1 \
        --references raw,pca,random --evaluation-frames 1000
}
methods() {
    local all=emargin,infonce,ts2vec,cost,softclt,infots,mf-clr,tnc,cpc,simmtm,timedrl
    local few="--split-seeds 0:4 --seeds 0,1"
    study methods "$1" shared --method $all --margin 5 --dissimilar-share 0.5 $few --references raw,pca,random
    case $1 in sleepeeg-sim | CricketX) # elsewhere these take hours
        study methods "$1" released --method cost,softclt,tnc,timedrl --variant released $few --references= ;;
    esac
}
paper() {
    local split
    for split in released subject; do
        study paper "$1" "$split" --method emargin --variant released --margin 5 --threshold 0.4 --temperature 0.5 \
            --weight-decay 0.01 --precision float64 --split "$split" --split-seeds 0 --seeds 0:4 \
            --sequence-length 200 --references raw,random
    done
}
size() { # as in the presets paper-sleepeeg and paper-harth, on five splits
    local own="--iterations 600 --split-seeds 0:4"
    case $1 in
    sleepeeg-sim) own="$own --sequence-length 200" ;;
    hapt) own="$own --sequence-length 119 --temperature 0.05" ;;
    esac
    local emargin="--method emargin --margin 5 --references= $own"
    study size "$1" infonce --method infonce --spread-weight=-3,0 --references raw,pca,random $own
    study size "$1" emargin $emargin --dissimilar-share 0.5 --gate all-dissimilar --spread-weight 0,1
    study size "$1" none $emargin --dissimilar-share 0
    study size "$1" paper $emargin --threshold 0.4
}
declare -A own=(
    [size]="hapt sleepeeg-sim"
    [paper]="mitdb"
    [second]="vfdb mitdb-125 ucddb ltafdb-rr"
    [ucr]="SwedishLeaf CricketX EOGHorizontalSignal Adiac FiftyWords"
    [methods]="sleepeeg-sim hapt mitdb-125 CricketX"
)
for question in ${questions:-q1 q2 q3 q3b}; do
    sets=${SETS:-${own[$question]:-hapt sleepeeg-sim ltafdb-rr ucddb vfdb mitdb-125}}
    for set in $sets; do "$question" "$set"; done
done
echo "next: docs/findings/keep.sh $out, which copies what the document needs, and make findings"
