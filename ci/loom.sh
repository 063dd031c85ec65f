#!/usr/bin/env bash
# Runs the loom models: every interleaving and every value a load may return, up to a bound of
# preemptions, for the real types of crates/sync.
#
#   ci/loom.sh                 all models
#   ci/loom.sh inbox           models whose path contains "inbox"
#   ci/loom.sh --list          names only
#   LOOM_MAX_PREEMPTIONS=4 ci/loom.sh    deeper (the default is 2; each step costs about ten times)
#
# A model that fails prints the interleaving with LOOM_LOG=trace LOOM_LOCATION=1.
set -euo pipefail
cd "$(dirname "$0")/.."

export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-1}"

arguments=()
for argument in "$@"; do
  [ "$argument" = --list ] && arguments+=(-- --list) || arguments+=("$argument")
done

# Release: a model runs thousands of executions. A folder of its own: the flag changes every crate.
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" exec cargo test --target-dir target/loom \
  -p whitebeam-sync --release --lib "${arguments[@]}"
