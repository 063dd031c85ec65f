//! The shapes of tree that the shutdown job knows, and how they are written on the command line.
//!
//! ```text
//! flat             one DynamicSupervisor                       root -> children
//! partitioned:P    PartitionSupervisor over P of them          root -> P supervisors -> children
//! two-tier[:P]     DynamicSupervisor partitioned into P        root -> P supervisors -> children
//! ```
//!
//! The last two have the same shape and differ in the root: a static set of partitions found
//! through its table, or a dynamic supervisor of dynamic supervisors. `two-tier` without P leaves
//! the number to `Partitions::for_children`.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Most partitions accepted. Far above any use; it stops a slip of the finger from filling the
/// memory.
const MOST_PARTITIONS: usize = 1_000_000;

/// A shape of tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One supervisor.
    Flat,
    /// A partition supervisor over this many dynamic supervisors.
    Partitioned(NonZeroUsize),
    /// A dynamic supervisor in this many partitions, or in as many as the library chooses for the
    /// children.
    TwoTier(Option<NonZeroUsize>),
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "flat" => Ok(Self::Flat),
            None if text == "two-tier" => Ok(Self::TwoTier(None)),
            None if text == "partitioned" => {
                Err("how many partitions? Write `partitioned:P`, for example `partitioned:16`"
                    .into())
            }
            Some(("partitioned", count)) => Ok(Self::Partitioned(partitions(count)?)),
            Some(("two-tier", count)) => Ok(Self::TwoTier(Some(partitions(count)?))),
            _ => Err("unknown layout; use `flat`, `partitioned:P`, `two-tier` or `two-tier:P` \
                      with P the number of partitions"
                .into()),
        }
    }
}

fn partitions(text: &str) -> Result<NonZeroUsize, String> {
    let count: usize = text.parse().map_err(|_| {
        format!("`{text}` is not a number of partitions; use 1 to {MOST_PARTITIONS}")
    })?;
    NonZeroUsize::new(count).filter(|_| count <= MOST_PARTITIONS).ok_or_else(|| {
        format!("{count} partitions cannot hold children; use 1 to {MOST_PARTITIONS}")
    })
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => f.write_str("flat"),
            Self::Partitioned(count) => write!(f, "partitioned:{count}"),
            Self::TwoTier(Some(count)) => write!(f, "two-tier:{count}"),
            Self::TwoTier(None) => f.write_str("two-tier"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_read_as_they_are_written() {
        for text in ["flat", "partitioned:1", "partitioned:16", "two-tier", "two-tier:250"] {
            assert_eq!(text.parse::<Layout>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_layout_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("sideways", "use `flat`"),
            ("flat:3", "use `flat`"),
            ("", "use `flat`"),
            ("partitioned", "partitioned:16"),
            ("partitioned:0", "use 1 to"),
            ("two-tier:-1", "use 1 to"),
            ("two-tier:many", "not a number"),
            ("two-tier:99999999", "use 1 to"),
        ] {
            let error = text.parse::<Layout>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
