//! One test in all places.

use std::{panic::catch_unwind, time::Duration};

use parking_lot::Mutex;
use whitebeam_testkit::{Everywhere, Sim, everywhere};

#[test]
fn a_test_runs_simulated_and_on_one_and_on_four_workers() {
    let places = Mutex::new(Vec::new());
    everywhere(|rt| {
        places.lock().push(rt.workers());
        async move { rt.sleep(Duration::from_millis(1)).await }
    });
    let places = places.into_inner();
    let seeds = places.len() - 2;
    assert!(seeds >= 1, "{places:?}");
    assert_eq!(places[seeds..], [1, 4]);
}

#[test]
fn a_test_that_waits_for_ever_fails_in_each_place() {
    let forever = |places: Everywhere| {
        let deadline = Duration::from_millis(20);
        let wait = move || {
            places
                .clone()
                .deadline(deadline)
                .run(|_rt| async { std::future::pending::<()>().await })
        };
        let panic =
            catch_unwind(std::panic::AssertUnwindSafe(wait)).expect_err("it waits for ever");
        panic.downcast_ref::<String>().cloned().expect("a text")
    };
    let text = forever(Everywhere::new().only_threaded().workers(&[2]));
    assert_eq!(text, "on 2 workers: the test has waited for 20ms");
    let text = forever(Everywhere::new().simulated(Sim::new().seeds(1)));
    assert!(text.contains("the test has waited for 20ms"), "{text}");
    assert!(text.contains("WHITEBEAM_SEED="), "{text}");
}
