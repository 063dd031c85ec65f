//! Plays scenarios on Erlang/OTP: one `escript` for many scenarios, which reads them as Erlang's terms from a file
//! and writes their traces. See `scenarios.escript`.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::scenario::Scenario;

/// The release of Erlang/OTP that is installed; `None`: none is.
pub(crate) fn release() -> Option<String> {
    let ask = "io:put_chars(erlang:system_info(otp_release)), halt().";
    let erl = Command::new("erl").args(["-noshell", "-noinput", "-eval", ask]).output().ok()?;
    let escript = Command::new("escript").output().is_ok();
    let release = String::from_utf8(erl.stdout).ok()?;
    (erl.status.success() && escript).then_some(release)
}

/// The traces of scenarios, in their order.
///
/// # Panics
/// If the script fails.
pub(crate) fn play<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Vec<String> {
    let scenarios: Vec<String> = scenarios.into_iter().map(|it| format!("{it}\n")).collect();
    if scenarios.is_empty() {
        return Vec::new();
    }
    let file = File::write(&scenarios.concat());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beam/scenarios.escript");
    let output = Command::new("escript").arg(script).arg(&file.0).output().expect("escript runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {errors}\n{text}");
    let traces: Vec<String> = text.split_terminator("done\n").map(str::to_owned).collect();
    assert_eq!(traces.len(), scenarios.len(), "a trace for each scenario: {errors}");
    traces
}

/// A file of scenarios, which is removed with this.
struct File(PathBuf);

impl File {
    fn write(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("whitebeam-scenarios-{}-{number}", std::process::id());
        let file = File(std::env::temp_dir().join(name));
        fs::write(&file.0, text).expect("a file for scenarios");
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A file in the folder for temporary ones harms nobody if it stays.
        let _ = fs::remove_file(&self.0);
    }
}
