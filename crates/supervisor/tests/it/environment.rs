//! The environment variable, in processes of their own: a variable belongs to the whole process.

use std::process::Command;

use whitebeam_actor::{Runtime, StartError};
use whitebeam_supervisor::{DynamicSupervisor, PARTITIONS_VARIABLE, Partitions, SpecError};

use crate::support::Plain;

/// Runs the test of this name in a process with the variable set.
fn with_variable(test: &str, value: &str) {
    let output = Command::new(std::env::current_exe().expect("this test's own program"))
        .args([&format!("environment::{test}"), "--exact", "--ignored", "--nocapture"])
        .env(PARTITIONS_VARIABLE, value)
        .output()
        .expect("a process of this program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn started(partitions: Partitions) -> Result<usize, StartError> {
    let rt = Runtime::simulated(0).unwrap();
    rt.block_on(async {
        let spec = DynamicSupervisor::<Plain>::temporary().partitions(partitions);
        Ok(spec.start(&rt).await?.len())
    })
}

#[test]
fn the_variable_holds_for_supervisors_whose_code_gives_no_number() {
    with_variable("holds", "5");
}

#[test]
#[ignore = "run by the test above in a process of its own"]
fn holds() {
    assert_eq!(started(Partitions::per_worker()).unwrap(), 5);
    assert_eq!(started(Partitions::for_children(200_000)).unwrap(), 5);
    assert_eq!(started(Partitions::exactly(2)).unwrap(), 2);
}

#[test]
fn a_variable_that_is_no_number_is_a_typed_error() {
    with_variable("is_refused", "0");
    with_variable("is_refused", "many");
}

#[test]
#[ignore = "run by the test above in processes of its own"]
fn is_refused() {
    let value = std::env::var(PARTITIONS_VARIABLE).unwrap();
    match started(Partitions::per_worker()) {
        Err(StartError::Invalid(error)) => {
            assert_eq!(error.downcast_ref(), Some(&SpecError::Environment { value }));
            assert!(error.to_string().contains("WHITEBEAM_PARTITIONS"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(started(Partitions::exactly(2)).unwrap(), 2);
}
