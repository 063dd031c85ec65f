//! A name is text for a registry: what takes a process takes its pid or its address.

use whitebeam_actor::{ExitReason, Runtime};

fn main() {
    let rt = Runtime::new().unwrap();
    rt.exit("counter", ExitReason::Shutdown);
}
