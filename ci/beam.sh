#!/usr/bin/env bash
# Supervisors against a real BEAM: random scenarios of supervision, played on Erlang/OTP and on Whitebeam, and what is
# seen is the same. See docs/beam.md.
#
#   ci/beam.sh [N] [--first SEED] [--debug]   N scenarios (500), from a seed on (0)
#   ci/beam.sh --seed SEED                    one scenario, both traces beside each other
#
# Without Erlang/OTP it is installed, where that is possible; else it fails. --optional: says so, and exits with 0.
# --debug: without optimisation, which is what there is behind `cargo test`; for many scenarios leave it out.
set -euo pipefail
cd "$(dirname "$0")/.."

scenarios=500 first=0 optional=no
profile=(--release)
while [ "$#" -gt 0 ]; do
  case "$1" in
    --seed)
      first="$2" scenarios=1
      export WHITEBEAM_SHOW=1
      shift
      ;;
    --first)
      first="$2"
      shift
      ;;
    --debug) profile=() ;;
    --optional) optional=yes ;;
    *) scenarios="$1" ;;
  esac
  shift
done

if ! command -v escript >/dev/null; then
  echo "installing erlang-base"
  (apt-get update -qq && apt-get install -y -qq --no-install-recommends erlang-base) >/dev/null 2>&1 || true
fi
if ! command -v escript >/dev/null; then
  echo "beam: NOT compared: Erlang/OTP is not here and cannot be installed"
  [ "$optional" = yes ] && exit 0
  exit 1
fi

export WHITEBEAM_BEAM=required WHITEBEAM_SCENARIOS="$scenarios" WHITEBEAM_SEED="$first"
cargo test "${profile[@]}" -p whitebeam-supervisor --test beam -- --nocapture
