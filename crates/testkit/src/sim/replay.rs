//! The environment's word, and the command that repeats a run.

use std::{env, fmt::Display, panic::Location, path::Path, thread};

/// The text in an environment variable, if that is set.
pub(super) fn text(variable: &str) -> Option<String> {
    env::var_os(variable).map(|text| text.to_string_lossy().into_owned())
}

/// The number in an environment variable, if that is set.
pub(super) fn number(variable: &str) -> Option<u64> {
    let text = text(variable)?;
    match text.trim().parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("the environment variable {variable} is {text:?}, which is no number"),
    }
}

/// The command that makes the run again that `variable` names with `value`: of this very test, if the test harness has named the thread after it.
pub(super) fn command(variable: &str, value: impl Display, caller: &Location<'_>) -> String {
    let package = env::var("CARGO_PKG_NAME").ok();
    let package = package.map_or_else(String::new, |name| format!(" -p {name}"));
    let program = env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent).and_then(Path::file_name);
    let stem = program.as_deref().and_then(Path::file_stem).and_then(|stem| stem.to_str());
    let run = match (folder.and_then(|folder| folder.to_str()), stem) {
        (Some("examples"), Some(name)) => format!("cargo run{package} --example {name}"),
        (Some("deps"), _) => match thread::current().name().filter(|name| *name != "main") {
            Some(test) => format!("cargo test{package} -- --exact {test}"),
            None => format!("cargo test{package} # the test at {caller}"),
        },
        _ => stem.unwrap_or("the program").to_owned(),
    };
    format!("{variable}={value} {run}")
}
