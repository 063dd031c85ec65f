#!/usr/bin/env bash
# Runs the unit tests of the crates with unsafe code under Miri, which checks every access against the aliasing
# rules: strict provenance, randomised layout, weak memory, a different interleaving for each seed.
# Tests that map memory, bar the kernel or take minutes are left out with `cfg_attr(miri, ignore)`.
#
#   ci/miri.sh [filter]          SEEDS=0..16 ci/miri.sh inbox
#
# Miri is a component of the nightly toolchain: rustup component add --toolchain nightly miri rust-src
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo "miri: not installed: rustup component add --toolchain nightly miri rust-src"
  [ "${REQUIRE:-0}" = 0 ]
  exit
fi
export MIRIFLAGS="-Zmiri-strict-provenance -Zrandomize-layout -Zmiri-many-seeds=${SEEDS:-0..4} ${MIRIFLAGS:-}"
cargo +nightly miri test --target-dir target/miri -p whitebeam-sync -p whitebeam-actor --lib -- "$@"
