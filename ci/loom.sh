#!/usr/bin/env bash
# Runs the loom models: every interleaving and every value a load may return, for the real types of
# crates/sync, and for the real processes of crates/actor (`models`; only the scheduler is played), up to the
# bound of preemptions that each model states (2 where it states none).
#
#   ci/loom.sh                 all models, each to its end
#   ci/loom.sh inbox           models whose path contains "inbox"
#   ci/loom.sh models::        those of crates/actor
#   ci/loom.sh --list          names only
#   LOOM_MAX_DURATION=40 ci/loom.sh      at most so many seconds for each: what is left is not explored
#   LOOM_MAX_PREEMPTIONS=3 ci/loom.sh    deeper, where the model states no bound
#
# For a model that fails, LOOM_LOG=trace LOOM_LOCATION=1 prints the interleaving.
set -euo pipefail
cd "$(dirname "$0")/.."

export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-1}"

arguments=()
for argument in "$@"; do
  [ "$argument" = --list ] && arguments+=(-- --list) || arguments+=("$argument")
done

# Release: a model runs thousands of executions; with the assertions of what is tested. A folder of its own: the flag
# changes every crate.
RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" exec cargo test --target-dir target/loom \
  --config profile.release.package.whitebeam-sync.debug-assertions=true \
  --config profile.release.package.whitebeam-actor.debug-assertions=true \
  -p whitebeam-sync -p whitebeam-actor --release --lib "${arguments[@]}"
