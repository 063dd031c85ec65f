# Recipes are one-liners over cargo and the scripts of ci/, which work without `just`.
# Times are for two cores with dependencies built.

# Lists the recipes.
default:
    @just --list --unsorted

# Proves that the formatting is rustfmt's. A second.
fmt:
    cargo fmt --all

# Proves that clippy finds nothing, with the workspace's lints, in all targets. Half a minute.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Proves that the tests pass: unit, property, conformance, documentation. Two minutes; one crate: `just test whitebeam-actor`.
test crate="":
    cargo test {{ if crate == "" { "--workspace" } else { "-p " + crate } }}

# Proves that the semantics of docs/conformance.md hold and that table and tests agree. A minute; one area: `just conformance link`.
conformance area="":
    cargo test --workspace --tests -- {{ if area == "" { "conformance" } else { area + "_" } }}
    python3 ci/conformance.py

# Proves that supervisors do what OTP's do, on random scenarios played on a real BEAM: `just beam 100000`; one: `just beam --seed 17`. Seconds; under ten minutes for 100,000.
beam *arguments:
    ci/beam.sh {{ arguments }}

# Proves that the documentation builds without a broken link. Half a minute.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Proves the lock-free parts and the processes for every interleaving up to a bound. Six minutes; one part: `just loom inbox`.
loom filter="":
    ci/loom.sh {{ filter }}

# Proves the unsafe code of crates/sync free of undefined behaviour, where the component is installed. Ten minutes.
miri filter="":
    ci/miri.sh {{ filter }}

# Proves the absence of data races, use after free and uninitialised reads in the stress tests. Ten minutes, half of them to build.
sanitizers tool="all":
    ci/sanitizers.sh {{ tool }}

# Repeats one run of a simulated test, by the seed that its failure has printed: `just replay 17 -p whitebeam-actor links`.
replay seed *arguments:
    WHITEBEAM_SEED={{ seed }} cargo test {{ arguments }}

# Proves that storms of sends, kills and restarts leave nothing behind: the stress tests, ignored ones too, and the stress program. Six minutes.
stress seconds="60":
    cargo test --workspace --release -- --include-ignored stress
    ci/stress.sh {{ seconds }}

# Proves that the workspace builds with the oldest Rust it names. A minute.
msrv:
    ci/msrv.sh

# Proves that licences and sources of the dependencies are the allowed ones. Needs cargo-deny. Seconds.
deny:
    cargo deny check

# Proves what no compiler checks: sizes of files, places of unsafe code, unfinished work. A second.
tidy:
    ci/tidy.sh

# Runs every example to its end. A minute.
examples *names:
    ci/examples.sh {{ names }}

# Runs one workload of the harness and prints its figures: `just bench W1`. Seconds to minutes.
bench *arguments:
    cargo run --release -p whitebeam-bench -- run {{ arguments }}

# Proves that every workload runs, counts right and prints well-formed JSON; its figures mean nothing. A minute.
bench-smoke:
    ci/bench_smoke.sh

# Everything a change must pass. Up to 30 minutes from an empty target folder.
ci:
    .ci/run

# What takes too long for every change: deeper models, sanitizers, stress, optimised tests with twenty times the property cases.
deep:
    LOOM_MAX_PREEMPTIONS=3 ci/loom.sh
    ci/sanitizers.sh
    cargo test --workspace --release -- --include-ignored stress
    ci/stress.sh 600
    cargo test -p whitebeam-supervisor --test it --release -- --ignored sup_random
    PROPTEST_CASES=5000 cargo test --workspace --exclude whitebeam-bench --release
