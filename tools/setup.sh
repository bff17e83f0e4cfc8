# Sourced by the commands beside it: goes to the project's root and sets `python` to an interpreter
# that has what the given requirements files list.
#
#   source tools/setup.sh requirements.txt [requirements-test.txt]
#
# That is the interpreter of the active virtual environment, if there is one: who activates an
# environment wants it used. Otherwise it is that of .venv, which is made if need be, with $PYTHON
# or the first of python3, python3.13, ... python3.10 that is of a version that will do.
# Nothing is installed while the requirements are what they were; interrupted, it can be run again.

setup_fail() {
  printf 'setup: error: %s\n' "$1" >&2
  exit 2
}

setup_will_do() { # whether the interpreter $1 is of a version that the project supports
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null
}

setup_find_python() {
  local candidates=(python3 python3.13 python3.12 python3.11 python3.10) candidate
  [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if setup_will_do "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  setup_fail "needs Python 3.10, 3.11, 3.12 or 3.13, but ${candidates[0]} is $("${candidates[0]}" --version 2>/dev/null ||
    echo missing); name another with PYTHON=/path/to/python"
}

setup_make_environment() { # the file .venv/unfinished tells what an interruption left from what a user made
  local base
  base=$(setup_find_python)
  "$base" -c 'import ensurepip, venv' 2>/dev/null ||
    setup_fail "$("$base" --version) cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)"
  echo "setup: making the virtual environment .venv with $("$base" --version)"
  rm -rf .venv
  mkdir .venv
  touch .venv/unfinished
  "$base" -m venv .venv || setup_fail "the virtual environment .venv could not be made (see above)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip ||
    setup_fail "pip could not be brought up to date (see above); the same command tries again"
  rm .venv/unfinished
}

setup_show_progress() { # what pip is at, on one line of a terminal that is written again and again
  local line
  while IFS= read -r line; do
    [ ! -t 1 ] || printf '\r\033[K%.78s' "$line"
  done
  [ ! -t 1 ] || printf '\r\033[K'
}

setup_install() { # a stamp beside the packages holds the checksum of each file that is installed
  local prefix file changed=()
  prefix=$("$python" -c 'import sys; print(sys.prefix)')
  for file in "$@"; do
    if [ "$(cat "$prefix/sagan_tf-$file.cksum" 2>/dev/null)" != "$(cksum "$file")" ]; then
      changed+=("$file")
      rm -f "$prefix/sagan_tf-$file.cksum"
    fi
  done
  [ ${#changed[@]} -gt 0 ] || return 0
  echo "setup: installing ${changed[*]} into $prefix (up to 2.7 GB; a minute or more)"
  "$python" -m pip install --disable-pip-version-check --progress-bar=off "${changed[@]/#/--requirement=}" |
    setup_show_progress || setup_fail "pip failed (see above); the same command tries again"
  for file in "${changed[@]}"; do
    cksum "$file" >"$prefix/sagan_tf-$file.cksum"
  done
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -n "${VIRTUAL_ENV:-}" ]; then
  python=$VIRTUAL_ENV/bin/python
  setup_will_do "$python" ||
    setup_fail "the active environment $VIRTUAL_ENV has no Python 3.10 to 3.13: deactivate it, then .venv is used"
else
  if [ ! -d .venv ] || [ -e .venv/unfinished ]; then
    setup_make_environment
  fi
  python=$PWD/.venv/bin/python
  setup_will_do "$python" || setup_fail ".venv has no Python 3.10 to 3.13: remove it, then it is made anew"
fi
setup_install "$@"
