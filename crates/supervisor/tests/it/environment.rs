//! The environment variable, in processes of their own: a variable belongs to the whole process.

use std::{env, process::Command};

use whitebeam_actor::{Runtime, StartError};
use whitebeam_supervisor::{DynamicSupervisor, PARTITIONS_VARIABLE, Partitions, SpecError};

use crate::support::Plain;

/// Set in the processes that a test starts of itself.
const INSIDE: &str = "WHITEBEAM_TEST_INSIDE";

/// Runs `body` in a process of the test of this name with the variable set.
fn with_variable(test: &str, value: &str, body: fn()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let output = Command::new(env::current_exe().expect("this test's own program"))
        .args([&format!("environment::{test}"), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env(PARTITIONS_VARIABLE, value)
        .output()
        .expect("a process of this program");
    let text = String::from_utf8_lossy(&output.stdout);
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
    with_variable("the_variable_holds_for_supervisors_whose_code_gives_no_number", "5", || {
        assert_eq!(started(Partitions::per_worker()).unwrap(), 5);
        assert_eq!(started(Partitions::for_children(200_000)).unwrap(), 5);
        assert_eq!(started(Partitions::exactly(2)).unwrap(), 2);
    });
}

#[test]
fn a_variable_that_is_no_number_is_a_typed_error() {
    for value in ["0", "many"] {
        with_variable("a_variable_that_is_no_number_is_a_typed_error", value, || {
            let value = env::var(PARTITIONS_VARIABLE).unwrap();
            match started(Partitions::per_worker()) {
                Err(StartError::Invalid(error)) => {
                    assert!(error.to_string().contains("WHITEBEAM_PARTITIONS"));
                    assert_eq!(error.downcast_ref(), Some(&SpecError::Environment { value }));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(started(Partitions::exactly(2)).unwrap(), 2);
        });
    }
}
