//! One test in all places.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use parking_lot::Mutex;
use whitebeam_testkit::{Everywhere, Probe, Sim, everywhere};

/// The text of the panic that `run` ends with.
fn text_of(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it fails");
    panic.downcast_ref::<String>().cloned().expect("a text")
}

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
fn a_test_runs_in_the_places_it_is_told_to() {
    let places = |settings: Everywhere| {
        let places = Mutex::new(Vec::new());
        settings.run(|rt| {
            places.lock().push(rt.workers());
            async {}
        });
        places.into_inner()
    };
    let sim = || Sim::new().ignore_environment().seeds(2);
    let own = Everywhere::new().simulated(sim()).workers(&[3]);
    assert_eq!(places(own), [1, 1, 3], "two seeds, then threads");
    assert_eq!(places(Everywhere::new().only_threaded()), [1, 4]);
    assert_eq!(places(Everywhere::new().simulated(sim()).workers(&[])), [1, 1]);
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
        text_of(wait)
    };
    let text = forever(Everywhere::new().only_threaded().workers(&[2]));
    assert_eq!(text, "on 2 workers: the test has waited for 20ms");
    let text = forever(Everywhere::new().simulated(Sim::new().seeds(1)));
    assert!(text.contains("deadlock: nothing can run"), "{text}");
    assert!(text.contains("WHITEBEAM_SEED="), "{text}");
}

#[test]
fn a_simulated_test_that_misses_its_deadline_says_who_waits() {
    let places = Everywhere::new().simulated(Sim::new().seeds(1)).workers(&[]);
    let wait = || {
        places.deadline(Duration::from_secs(10)).run(|rt| async move {
            let probe = Probe::<u32>::start(&rt).await;
            let clock = rt.clone();
            let ticks = async move {
                loop {
                    clock.sleep(Duration::from_secs(1)).await;
                }
            };
            rt.spawn_task(ticks).detach();
            rt.down(probe.actor()).await;
        })
    };
    let text = text_of(wait);
    assert!(text.contains("the test has waited for 10s"), "{text}");
    assert!(text.contains("the test waits for the end of <0.0.1> Catcher<u32>"), "{text}");
}

#[test]
fn a_failure_on_threads_says_on_how_many() {
    let on_two = || Everywhere::new().only_threaded().workers(&[2]);
    // No word of the panic hook: it is not called for this.
    let panics = || {
        on_two().run(|_rt| async {
            if true {
                resume_unwind(Box::new("six, not seven"))
            }
        })
    };
    assert_eq!(text_of(panics), "on 2 workers: the test panicked: six, not seven");
    let fails = || on_two().run(|_rt| async { Err::<(), _>(7) });
    assert_eq!(text_of(fails), "on 2 workers: the test returned an error: 7");
}
