#!/usr/bin/env bash
# A study on Slurm: each machine of the job becomes a Ray node, and the first one runs the study's command.
#   sbatch cluster/slurm.sh --dataset sleepeeg --trials 64 --gpus-per-trial 0.25 --name sleep
# Submit the same line again to resume the study. docs/cluster.md says more.
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
export RAY_AUTH_MODE=token # other users share the network; the token is in the home folder, which all nodes share
ray get-auth-token --generate >/dev/null

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*} # not `| head -1`: it could end before scontrol has written everything, which would end the job

# On the first machine this starts Ray, waits for the other nodes, runs the command and stops Ray; the others join.
# Stopping Ray stops all of the user's Ray processes on a machine, which is why the job needs --exclusive.
srun --export=ALL ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" \
    -- python -m study.run --address auto --out runs "$@"
