#!/usr/bin/env bash
# Supervisors against a real BEAM: random scenarios of supervision, played on Erlang/OTP and on Whitebeam, and what is
# seen is the same. See docs/beam.md.
#
#   ci/beam.sh [N] [--first SEED] [--debug]   N scenarios (500), from a seed on (0)
#   ci/beam.sh --seed SEED                    one scenario, both traces beside each other
#
# Without Erlang/OTP it is installed, where that is possible; else it fails. --optional: it is not, and without it this
# says so and exits with 0.
# --debug: without optimisation, which is what there is behind `cargo test`; for many scenarios leave it out.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
  echo "beam: $1; see the head of ci/beam.sh" >&2
  exit 2
}

# A number, without what a shell takes for octal, that two of fit into 64 bits.
number() {
  [[ "$2" =~ ^(0|[1-9][0-9]{0,17})$ ]] || refuse "$1 is a number of at most 18 digits, not '$2'"
}

scenarios="" first="" seed="" optional=no
profile=(--release)
while [ "$#" -gt 0 ]; do
  case "$1" in
    --seed | --first)
      [ "$#" -ge 2 ] || refuse "$1 needs a seed"
      number "$1" "$2"
      if [ "$1" = --seed ]; then seed="$2"; else first="$2"; fi
      shift
      ;;
    --debug) profile=() ;;
    --optional) optional=yes ;;
    -*) refuse "there is no option $1" ;;
    *)
      [ -z "$scenarios" ] || refuse "two numbers of scenarios, $scenarios and $1"
      number "the number of scenarios" "$1"
      [ "$1" != 0 ] || refuse "0 scenarios compare nothing"
      scenarios="$1"
      ;;
  esac
  shift
done
if [ -n "$seed" ]; then
  [ -z "$first$scenarios" ] || refuse "--seed is one scenario: neither a number of them nor --first goes with it"
  first="$seed" scenarios=1
  export WHITEBEAM_SHOW=1
fi

is_here() {
  command -v erl >/dev/null && command -v escript >/dev/null
}

# With --optional whoever calls has tried to install it.
if ! is_here && [ "$optional" = no ] && command -v apt-get >/dev/null; then
  echo "beam: installing erlang-base"
  (timeout 60 apt-get update -qq && timeout 120 apt-get install -y -qq --no-install-recommends erlang-base) \
    </dev/null >/dev/null 2>&1 || true
fi
if ! is_here; then
  echo "beam: NOT compared with Erlang/OTP: it is not here and cannot be installed"
  [ "$optional" = yes ] && exit 0
  exit 1
fi

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
export WHITEBEAM_BEAM=required WHITEBEAM_SCENARIOS="${scenarios:-500}" WHITEBEAM_SEED="${first:-0}"
cargo test "${profile[@]}" -p whitebeam-supervisor --test beam -- --nocapture 2>&1 | tee "$log"
# That the tests pass is not enough: this one must have been among them.
if ! grep -q "beam: $WHITEBEAM_SCENARIOS scenarios " "$log"; then
  echo "beam: the tests have compared nothing" >&2
  exit 1
fi
