//! How many partitions there are to be.

use std::{env, ffi::OsStr};

use crate::SpecError;

/// Number of partitions of a supervisor.
///
/// The number given by [`exactly`](Self::exactly) holds. Without one, the environment variable
/// `WHITEBEAM_PARTITIONS` holds if it is set; else the rule of the other constructors. Read when the
/// supervisor is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(Rule);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Exactly(usize),
    ForChildren(usize),
}

/// Sets the number of partitions of each supervisor whose code does not.
pub const PARTITIONS_VARIABLE: &str = "WHITEBEAM_PARTITIONS";

/// Children that one partition is expected to hold, from the system that this shape of tree comes from:
/// more make the partition's stop longer, fewer cost memory for partitions that are not needed.
pub const CHILDREN_PER_PARTITION: usize = 4_000;

/// Most partitions. A tree of a million supervisors is a slip.
pub(crate) const MOST: usize = 1 << 20;

impl Partitions {
    /// So many, 1 or more.
    #[must_use]
    pub fn exactly(n: usize) -> Self {
        Partitions(Rule::Exactly(n))
    }

    /// One for each worker thread.
    #[must_use]
    pub fn per_worker() -> Self {
        Self::for_children(0)
    }

    /// Enough for `most` children: one for each [`CHILDREN_PER_PARTITION`], rounded up, but one for
    /// each worker thread at least.
    #[must_use]
    pub fn for_children(most: usize) -> Self {
        Partitions(Rule::ForChildren(most))
    }

    /// The number for a runtime with so many workers.
    pub(crate) fn count(self, workers: usize) -> Result<usize, SpecError> {
        self.with_variable(workers, env::var_os(PARTITIONS_VARIABLE).as_deref())
    }

    fn with_variable(self, workers: usize, variable: Option<&OsStr>) -> Result<usize, SpecError> {
        let asked = match (self.0, variable) {
            (Rule::Exactly(n), _) => n,
            (Rule::ForChildren(_), Some(value)) => {
                let n = value.to_str().and_then(|text| text.trim().parse().ok());
                return n.filter(|n| (1..=MOST).contains(n)).ok_or_else(|| {
                    SpecError::Environment { value: value.to_string_lossy().into_owned() }
                });
            }
            (Rule::ForChildren(most), None) => workers.max(most.div_ceil(CHILDREN_PER_PARTITION)),
        };
        match asked {
            0 => Err(SpecError::ZeroPartitions),
            1..=MOST => Ok(asked),
            _ => Err(SpecError::TooManyPartitions { asked }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(
        partitions: Partitions,
        workers: usize,
        variable: Option<&str>,
    ) -> Result<usize, SpecError> {
        partitions.with_variable(workers, variable.map(OsStr::new))
    }

    #[test]
    fn the_formula_gives_one_per_worker_and_per_4000_children() {
        for (children, workers, expected) in [
            (0, 16, 16),
            (1, 1, 1),
            (64_000, 16, 16),
            (64_001, 16, 17),
            (200_000, 16, 50),
            (500_000, 16, 125),
            (1_000_000, 2, 250),
        ] {
            assert_eq!(count(Partitions::for_children(children), workers, None), Ok(expected));
        }
        assert_eq!(count(Partitions::per_worker(), 3, None), Ok(3));
    }

    #[test]
    fn the_argument_goes_before_the_variable_and_that_before_the_formula() {
        assert_eq!(count(Partitions::exactly(7), 2, Some("5")), Ok(7));
        assert_eq!(count(Partitions::per_worker(), 2, Some("5")), Ok(5));
        assert_eq!(count(Partitions::for_children(1_000_000), 2, Some(" 5 ")), Ok(5));
    }

    #[test]
    fn zero_too_many_and_what_is_no_number_are_errors() {
        assert_eq!(count(Partitions::exactly(0), 2, None), Err(SpecError::ZeroPartitions));
        let most = Partitions::for_children(usize::MAX);
        assert!(matches!(count(most, 2, None), Err(SpecError::TooManyPartitions { .. })));
        for value in ["0", "", "-1", "many", "5.0", "99999999999999999999"] {
            let error = SpecError::Environment { value: value.to_owned() };
            assert_eq!(count(Partitions::per_worker(), 2, Some(value)), Err(error));
        }
    }
}
