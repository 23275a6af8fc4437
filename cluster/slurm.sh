#!/usr/bin/env bash
# A study on Slurm: one Ray node on each machine of the job, the study's command on the first.
#   sbatch cluster/slurm.sh --dataset sleepeeg --trials 64 --gpus-per-trial 0.25 --name sleep
# Submit it again, and the study goes on. docs/cluster.md says more.
#SBATCH --job-name=emargin-study
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --output=emargin-study-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit with sbatch, from a folder that all nodes share}"
export PATH="$PWD/.venv/bin:$PATH" RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token # other users share the network; the token lies in the home folder, which nodes share
ray get-auth-token --generate >/dev/null

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*} # no pipe into `head`, which may end before scontrol has written all, and the job with it

# On the head: starts Ray, waits for the other nodes, runs the command, stops Ray. Elsewhere: joins.
# It stops every Ray process of the user's on a machine: hence --exclusive.
srun --export=ALL ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" \
    -- python -m study.run --address auto --out runs "$@"
