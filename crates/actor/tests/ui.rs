//! How mistakes read: the compiler's words for what the types forbid, with the crate's own hints in them.
//!
//! `TRYBUILD=overwrite cargo test -p whitebeam-actor --test ui` writes the texts anew.

/// The compiler whose words are kept beside the programs; others put the same differently.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_told_in_words_of_the_crate() {
    do_not_compile("tests/ui/*.rs");
}

/// By types: it does not compile.
#[test]
fn mon_003_what_is_no_process_is_not_monitored() {
    do_not_compile("tests/ui/rows/mon_003.rs");
}

/// By types: a request that is in a collection has been moved there.
#[test]
fn srv_037_a_request_is_in_one_collection_once() {
    do_not_compile("tests/ui/rows/srv_037.rs");
}

/// By types: no `Duration` is invalid, so a limit that is does not compile, and no server hears of it.
#[test]
fn srv_014_an_invalid_limit_is_no_limit() {
    do_not_compile("tests/ui/rows/srv_014.rs");
}

/// By types: what is no timer is neither cancelled nor read.
#[test]
fn tim_010_what_is_no_timer_is_not_cancelled() {
    do_not_compile("tests/ui/rows/tim_010.rs");
}

#[expect(clippy::print_stdout, reason = "a test says why it was left out")]
fn do_not_compile(programs: &str) {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(compiler).arg("--version").output();
    let version = version.expect("a compiler that says its version").stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(COMPILER) {
        println!("left out: the texts are those of {COMPILER}, not of {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail(programs);
}
