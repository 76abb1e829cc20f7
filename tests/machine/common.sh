# Sourced by the scripts of this folder: where things are, and how they talk.
# shellcheck shell=bash
set -euo pipefail
machine=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$machine/../.." && pwd)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}
hosts=${HOLDFAST_HOSTS:-/tmp/holdfast-hosts}
export machine repository cache hosts

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# until_true SECONDS WHAT COMMAND…: wait for a condition, loudly when it does not come.
until_true() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$what did not happen in time"
    sleep 0.05
  done
}
