#!/usr/bin/env bash
# The quick start: sets the project up, trains a SAGAN on handwritten digits, says where to look.
# Run again it takes the run up where it was. Arguments are further options of sagan_tf.train.
set -euo pipefail
workdir=runs/digits

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" requirements.txt
"$python" -m sagan_tf.train --flagfile=flags/digits.cfg "$@" --workdir=$workdir

printf '\nSamples, one class a row:\n  %s\n' "$(ls "$PWD/$workdir"/samples/ema_*.png | tail -n 1)"
printf 'The course of the training, in a browser at http://localhost:6006 with\n  %q --logdir=%q\n' \
  "$(dirname "$python")/tensorboard" "$PWD/$workdir/tensorboard"
