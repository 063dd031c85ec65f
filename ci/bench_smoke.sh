#!/usr/bin/env bash
# Runs every workload of the harness once at a hundredth of its size and checks the form of what it
# prints. Proves that the harness still runs and counts right; its figures compare with nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p whitebeam-bench
harness="${CARGO_TARGET_DIR:-target}/release/whitebeam-bench"
lines="$(mktemp)"
trap 'rm -f "$lines"' EXIT

small=(--reps 1 --workers 2 --json)
for workload in $("$harness" list | awk 'NF == 0 { exit } { print $1 }'); do
  case "$workload" in
    shutdown) options=(--children 2000 --layout partitioned:4) ;;
    idle) options=(--scale 0.1) ;;
    *) options=(--scale 0.01) ;;
  esac
  echo "harness: run $workload ${options[*]} ${small[*]}"
  timeout 120 "$harness" run "$workload" "${options[@]}" "${small[@]}" >>"$lines"
done
python3 ci/harness_json.py "$lines"
