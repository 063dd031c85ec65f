#!/usr/bin/env bash
# Builds every example and runs it to its end. An example asserts what it shows, ends by itself
# within a minute, and exits with 0.
#
#   ci/examples.sh [name..]
set -euo pipefail
cd "$(dirname "$0")/.."

limit=60
names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
  mapfile -t names < <(cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "whitebeam-examples":
        for target in package["targets"]:
            if "example" in target["kind"]:
                print(target["name"])
')
fi
[ "${#names[@]}" -gt 0 ] || { echo "no examples" >&2; exit 1; }

cargo build --release -p whitebeam-examples --examples
output="$(mktemp)"
trap 'rm -f "$output"' EXIT
failed=0
for name in "${names[@]}"; do
  started=$SECONDS
  if timeout "$limit" "${CARGO_TARGET_DIR:-target}/release/examples/$name" >"$output" 2>&1 </dev/null; then
    echo "example $name: ok ($((SECONDS - started)) s)"
  else
    echo "example $name: failed with exit code $? (124 is over $limit s); its output:"
    tail -n 40 "$output" | sed 's/^/    /'
    failed=1
  fi
done
echo "${#names[@]} examples run"
exit "$failed"
