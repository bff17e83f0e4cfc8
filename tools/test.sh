#!/usr/bin/env bash
# Sets the project up, then lint, format and tests. Arguments go to pytest, e.g. `-m slow` or a file.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" requirements.txt requirements-test.txt requirements-serving.txt \
  requirements-onnx.txt
"$python" -m ruff check --quiet .
"$python" -m ruff format --check --quiet .
"$python" -m pytest --durations=15 "$@"
