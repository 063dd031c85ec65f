#!/usr/bin/env bash
# The oldest Rust that the workspace says it needs: one statement everywhere, and true where it can be tried.
# Which packages inherit the field is a test (crates/whitebeam/tests/workspace.rs).
set -euo pipefail
cd "$(dirname "$0")/.."

version="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
[ -n "$version" ] || { echo "msrv: no rust-version in Cargo.toml" >&2; exit 1; }
failed=0
for file in README.md CHANGELOG.md CONTRIBUTING.md; do
  grep -q "Rust $version\b" "$file" || { echo "msrv: $file does not say \"Rust $version\"" >&2; failed=1; }
done
grep -q "^msrv = \"$version\"$" clippy.toml || { echo "msrv: clippy.toml's msrv is not $version" >&2; failed=1; }

current="$(rustc --version | cut -d' ' -f2)"
case "$current" in
  "$version" | "$version".*) echo "msrv: Rust $version is the toolchain in use ($current)" ;;
  *)
    for toolchain in "$version.0" "$version"; do
      if cargo "+$toolchain" --version >/dev/null 2>&1; then
        echo "msrv: cargo +$toolchain check"
        cargo "+$toolchain" check --workspace --target-dir target/msrv || failed=1
        exit "$failed"
      fi
    done
    echo "msrv: toolchain $version is not installed; only the statement was checked"
    ;;
esac
exit "$failed"
