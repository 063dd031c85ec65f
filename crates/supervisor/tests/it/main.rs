//! Supervisors on real runtimes with one and four workers and on simulated ones.

#![allow(clippy::unwrap_used, reason = "tests")]

mod child_ref;
mod conformance_dynamic;
mod conformance_dynamic_any;
mod conformance_dynamic_stop;
mod conformance_partition;
mod conformance_partition_admin;
mod conformance_simple;
mod dynamic_any;
mod dynamic_faults;
mod dynamic_restart;
mod dynamic_serial;
mod dynamic_start;
mod dynamic_stop;
mod environment;
mod large;
mod mailbox;
mod partition;
mod partition_resize;
mod specs;
mod start_limit;
mod stress;
mod sup_admin;
mod sup_large;
mod sup_loop;
mod sup_made;
mod sup_names;
mod sup_random;
mod sup_restart;
mod sup_significant;
mod sup_simple;
mod sup_specs;
mod sup_start;
mod sup_stop;
mod sup_storm;
mod sup_strategy;
mod sup_trees;
mod support;
mod tree;
