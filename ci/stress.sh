#!/usr/bin/env bash
# Lets actors do everything to each other at random, on 2, 4 and 8 workers, and looks for what is lost or left:
# see benches/src/stress.rs. The seed of each run is printed first; `whitebeam-bench stress --seed` takes it again.
#
#   ci/stress.sh                30 seconds in all
#   ci/stress.sh 600            so many seconds in all
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-30}"
cargo build --release -p whitebeam-bench
harness="${CARGO_TARGET_DIR:-target}/release/whitebeam-bench"

for workers in 2 4 8; do
  # It ends by itself when something hangs; the limit is for what stops even that.
  timeout $((seconds / 3 + 300)) "$harness" stress --seconds $((seconds / 3 > 0 ? seconds / 3 : 1)) --workers "$workers"
done
