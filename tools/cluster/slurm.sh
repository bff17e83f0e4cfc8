#!/usr/bin/env bash
# Trains on several hosts of a SLURM cluster, again and again until the run is complete:
#   sbatch tools/cluster/slurm.sh --flagfile=flags/imagenet.cfg --workdir=/shared/runs/imagenet --dataset=records:/shared/records
# All hosts must see the workdir and the data under the same names. Change nodes, GPUs and time to yours.
#SBATCH --job-name=sagan
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

# Two minutes before the time is over every task gets SIGTERM (--signal): the run is saved within these two
# minutes (--grace_period), and all end with 143. Where your cluster preempts jobs, give its GraceTime if it is shorter.
code=0
srun --kill-on-bad-exit=0 python -m sagan_tf.train --grace_period=120 "$@" || code=$?

# 75: a worker was lost. 143: saved after SIGTERM. In both cases the same command goes on from the last checkpoint.
case $code in
  75 | 143) scontrol requeue "$SLURM_JOB_ID" ;;
  *) exit "$code" ;;
esac
