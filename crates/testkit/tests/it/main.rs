//! Tests of the test kit: what it finds, what it says, and that it says the same again.

mod awaits;
mod faults;
mod orders;
mod places;
mod planted;
mod probes;
mod replay;
mod reports;
mod strategies;
mod time;
mod trees;
