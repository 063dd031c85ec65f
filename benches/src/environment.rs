//! Where a figure was taken: cores, compiler, commit, allocator.

use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::report::object;

/// Number of cores this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Version of the compiler that built the harness.
pub(crate) const RUSTC: &str = env!("WHITEBEAM_BENCH_RUSTC");

/// The global allocator, set in `main.rs`.
pub(crate) const ALLOCATOR: &str =
    if cfg!(feature = "system-allocator") { "system" } else { "mimalloc" };

/// Short id of the commit checked out where the harness was built, with `-dirty` when files differ
/// from it; "unknown" without git or without a commit.
///
/// Asked when the harness runs: `cargo run` builds what is checked out, so that the two agree.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let out = Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        out.status.success().then(|| text.trim().to_owned())
    };
    let Some(id) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| changes.is_empty());
    if clean { id } else { id + "-dirty" }
}

/// The `env` object of a JSON line.
pub(crate) fn as_json(commit: &str) -> String {
    object([
        ("cores", cores().to_string()),
        ("rustc", Value::from(RUSTC).to_string()),
        ("commit", Value::from(commit).to_string()),
        ("allocator", Value::from(ALLOCATOR).to_string()),
    ])
}
