//! Why a run has no figure.
//!
//! A run which fails prints this on stderr and the harness ends with exit code 1; no figure of it
//! is printed. Bad arguments never get here: the command line refuses them with exit code 2.

use std::error::Error;
use std::fmt;

/// What went wrong in a run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A count that the run keeps of its own work is off: its time says nothing.
    Count {
        /// What was counted.
        what: &'static str,
        /// What the workload's definition asks for.
        want: u64,
        /// What was counted.
        got: u64,
    },
    /// Something that is no number came out other than the workload's definition asks for.
    Unexpected {
        /// What was looked at.
        what: &'static str,
        /// What it was.
        got: String,
    },
    /// The stress program has found something that must not be.
    Violated {
        /// In which round.
        round: String,
        /// What it found, a text each.
        faults: Vec<String>,
    },
    /// The library refused, or ended, what the run needs.
    Library {
        /// What the run was doing.
        doing: &'static str,
        /// The library's own words.
        why: String,
    },
    /// The operating system refused what the harness needs for its own work.
    System {
        /// What the harness was doing.
        doing: &'static str,
        /// The system's own words.
        why: String,
    },
}

impl Failure {
    /// A closure for `map_err`: what the library said while the run was `doing` something.
    pub(crate) fn library<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |why| Self::Library { doing, why: why.to_string() }
    }

    /// A closure for `map_err`: what the system said while the harness was `doing` something.
    pub(crate) fn system<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |why| Self::System { doing, why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { what, want, got } => {
                write!(
                    f,
                    "count is off, so there is no figure: {what}: expected {want}, counted {got}"
                )
            }
            Self::Unexpected { what, got } => {
                write!(f, "the run went wrong, so there is no figure: {what} was {got}")
            }
            Self::Violated { round, faults } => {
                write!(f, "stress: violated in {round}:")?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
            Self::Library { doing, why } => write!(f, "whitebeam failed while {doing}: {why}"),
            Self::System { doing, why } => write!(f, "the system refused while {doing}: {why}"),
        }
    }
}

impl Error for Failure {}

/// Checks one count of a run.
///
/// # Errors
///
/// [`Failure::Count`] unless `got` is exactly `want`.
pub(crate) fn expect_count(what: &'static str, want: u64, got: u64) -> Result<(), Failure> {
    if want == got { Ok(()) } else { Err(Failure::Count { what, want, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_count_is_an_error_that_names_both_numbers() {
        assert!(expect_count("pongs", 3, 3).is_ok());
        let text = expect_count("pongs", 3, 2).expect_err("2 is not 3").to_string();
        assert!(text.contains("pongs: expected 3, counted 2"), "{text}");
    }
}
