#!/usr/bin/env bash
# Runs what is unsafe under tools that see what tests can't: data races, use after free, reads of memory that
# was never written.
#
#   ci/sanitizers.sh                    all three
#   ci/sanitizers.sh thread             ThreadSanitizer (nightly toolchain)
#   ci/sanitizers.sh address            AddressSanitizer with leak check (nightly toolchain)
#   ci/sanitizers.sh memory             valgrind memcheck (any toolchain)
#
# A tool that is not there is named and left out, and the script says so at its end with exit code 0;
# with REQUIRE=1 that is an error. What runs: all unit tests of crates/sync, all tests of crates/actor in
# their small size, every test with "stress" in its name, ignored ones included, of the crates above sync, and the stress
# program (not under valgrind).
set -euo pipefail
cd "$(dirname "$0")/.."

host="$(rustc -vV | sed -n 's/^host: //p')"
left_out=()

leave_out() {
  echo "-- left out: $1"
  left_out+=("$1")
}

# Runs a sanitizer over the tests. The standard library is built with it too where its source is there;
# else only the project's own code is watched, and what that makes look wrong is suppressed.
sanitize() {
  local name="$1" options=() suppressions=(ci/tsan.supp)
  if ! cargo +nightly --version >/dev/null 2>&1; then
    leave_out "$name sanitizer: no nightly toolchain"
    return
  fi
  local flags="-Zsanitizer=$name -Cforce-frame-pointers=yes"
  if [ "$name" = address ]; then
    # The process table's memory is its own: it tells the sanitizer which slots are free.
    flags+=" --cfg whitebeam_asan"
  fi
  if [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    options+=(-Zbuild-std)
  else
    echo "-- std is not instrumented (no rust-src component): known false alarms are suppressed"
    flags+=" -Cunsafe-allow-abi-mismatch=sanitizer"
    suppressions+=(ci/tsan-std.supp)
  fi
  mkdir -p target
  cat "${suppressions[@]}" >target/tsan.supp
  export TSAN_OPTIONS="suppressions=$PWD/target/tsan.supp ${TSAN_OPTIONS:-}"
  export LSAN_OPTIONS="suppressions=$PWD/ci/lsan.supp:print_suppressions=0 ${LSAN_OPTIONS:-}"
  # A stack large enough for instrumented frames.
  export RUST_MIN_STACK=16777216
  local run=(cargo +nightly test --no-fail-fast "${options[@]}" --target "$host" --target-dir "target/sanitize-$name")
  echo "== $name sanitizer: unit tests of crates/sync"
  RUSTFLAGS="$flags" "${run[@]}" -p whitebeam-sync --lib
  echo "== $name sanitizer: tests of crates/actor"
  RUSTFLAGS="$flags" WHITEBEAM_SMALL=1 "${run[@]}" -p whitebeam-actor --lib --tests -- --skip mistakes_are_told
  echo "== $name sanitizer: stress tests above it"
  RUSTFLAGS="$flags" "${run[@]}" -p whitebeam-scheduler -p whitebeam-actor -p whitebeam-supervisor \
    --lib --tests -- --include-ignored stress
  echo "== $name sanitizer: the stress program, a minute"
  # With the system's allocator: the sanitizer doesn't see into another.
  RUSTFLAGS="$flags" cargo +nightly run "${options[@]}" --target "$host" --target-dir "target/sanitize-$name" \
    -p whitebeam-bench --features system-allocator -- stress --seconds 60 --workers 4 --actors 500
}

memcheck() {
  if ! command -v valgrind >/dev/null; then
    leave_out "memcheck: no valgrind"
    return
  fi
  # One thread at a time runs under valgrind, some fifty times slower: the stress tests, in their small size.
  local packages=("-p whitebeam-sync --lib" "-p whitebeam-actor --test stress") program
  for package in "${packages[@]}"; do
    echo "== memcheck: stress tests of $package"
    # shellcheck disable=SC2086 # several words on purpose
    program="$(cargo test $package --no-run --message-format=json 2>/dev/null |
      sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)"
    WHITEBEAM_SMALL=1 valgrind --quiet --error-exitcode=9 --fair-sched=yes --leak-check=full \
      --errors-for-leak-kinds=definite --show-leak-kinds=definite "$program" stress
  done
}

case "${1:-all}" in
  thread | address) sanitize "$1" ;;
  memory) memcheck ;;
  all)
    sanitize thread
    sanitize address
    memcheck
    ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac

if [ "${#left_out[@]}" -gt 0 ]; then
  printf 'left out: %s\n' "${left_out[@]}"
  [ "${REQUIRE:-0}" = 0 ]
fi
