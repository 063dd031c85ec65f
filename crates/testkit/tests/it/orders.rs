//! All orders with so many delays: each is run once, and a bug that takes as many is found for certain.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use whitebeam::prelude::*;
use whitebeam_testkit::{ORDER_VARIABLE, Sim, TestRuntime};

use crate::planted::{Found, lost_wake_up};

/// Notes in which order it hears from three tasks.
struct Listener(Vec<u32>);

enum Hear {
    From(u32),
    All(Reply<Vec<u32>>),
}

impl Actor for Listener {
    type Args = ();
    type Msg = Hear;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Listener(Vec::new()))
    }

    async fn handle(&mut self, msg: Hear, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Hear::From(n) => self.0.push(n),
            Hear::All(reply) => reply.send(self.0.clone()),
        }
        Ok(())
    }
}

async fn three_senders(rt: TestRuntime) -> Vec<u32> {
    let listener = rt.start::<Listener>(()).await.expect("it starts");
    let send = |n| {
        let to = listener.clone();
        rt.spawn_task(async move { to.cast(Hear::From(n)).expect("it lives") })
    };
    let all = [send(0), send(1), send(2)];
    for one in all {
        one.await;
    }
    listener.call(Hear::All).await.expect("it lives")
}

fn orders_seen(delays: u32) -> (BTreeMap<Vec<u32>, usize>, usize) {
    let seen = RefCell::new(BTreeMap::new());
    let report = Sim::new().ignore_environment().all_orders(delays).run(|rt| {
        let seen = &seen;
        async move {
            let order = three_senders(rt).await;
            *seen.borrow_mut().entry(order).or_default() += 1;
        }
    });
    (seen.into_inner(), report.runs.len())
}

#[test]
fn more_delays_make_more_orders_until_there_are_all() {
    let (none, runs) = orders_seen(0);
    assert_eq!((none.len(), runs), (1, 1), "{none:?}");
    assert!(none.contains_key(&vec![0, 1, 2]), "{none:?}");
    let (one, _) = orders_seen(1);
    // The first one falls behind another, or the second behind the third.
    assert!(one.len() > 1 && one.len() < 6, "{one:?}");
    let (two, runs) = orders_seen(2);
    assert_eq!(two.len(), 6, "{two:?}");
    assert_eq!(two.values().sum::<usize>(), runs);
}

#[test]
fn the_same_orders_are_run_again_in_the_same_sequence() {
    let runs = || {
        let report = Sim::new().ignore_environment().all_orders(2).run(|rt| async move {
            three_senders(rt).await;
        });
        report.runs.iter().map(|run| (run.seed, run.steps, run.digest)).collect::<Vec<_>>()
    };
    let once = runs();
    assert!((0..).zip(&once).all(|(n, (number, ..))| n == *number), "numbered from 0 on");
    assert_eq!(once, runs());
}

/// The runs until the first that shows it, if any of so many delays does.
fn found<F: Future<Output = Found>>(delays: u32, test: impl Fn(TestRuntime) -> F) -> Option<usize> {
    let found = Sim::new().ignore_environment().all_orders(delays).try_run(test);
    found.err().map(|failure| failure.runs)
}

/// Reads in one turn, and writes what it makes of that in another.
async fn lost_update(rt: TestRuntime) -> Found {
    let counter = Arc::new(AtomicU32::new(0));
    let add = || {
        let (rt, counter) = (rt.handle(), counter.clone());
        rt.clone().spawn_task(async move {
            let read = counter.load(Relaxed);
            rt.sleep(Duration::ZERO).await;
            counter.store(read + 1, Relaxed);
        })
    };
    let (one, two) = (add(), add());
    one.await;
    two.await;
    match counter.load(Relaxed) {
        2 => Ok(()),
        other => Err(format!("counted {other}").into()),
    }
}

async fn first_comes_last(rt: TestRuntime) -> Found {
    match three_senders(rt).await {
        order if order == [1, 2, 0] => Err("the first is the last".into()),
        _ => Ok(()),
    }
}

#[test]
fn a_bug_is_found_for_certain_with_as_many_delays_as_it_takes() {
    assert_eq!(found(0, lost_update), None);
    assert!(found(1, lost_update).is_some());
    assert_eq!(found(1, first_comes_last), None);
    assert!(found(2, first_comes_last).is_some());
    // One is held up for a dozen turns of others, a delay each: that is for random orders.
    assert_eq!(found(1, lost_wake_up), None);
}

#[test]
fn a_failure_names_its_order_and_the_command_that_repeats_it() {
    let fails = || Sim::new().ignore_environment().all_orders(2).try_run(first_comes_last);
    let failure = fails().expect_err("it is one of all");
    let again = fails().expect_err("it is one of all");
    assert_eq!((failure.digest, failure.runs), (again.digest, again.runs));
    assert!(failure.strategy.starts_with("all orders of 2 delays: "), "{failure}");
    let order = failure.strategy.rsplit(' ').next().expect("an order");
    assert_eq!(order.split(',').count(), 2, "{failure}");
    let command = format!("{ORDER_VARIABLE}={order} cargo test -p whitebeam-testkit -- --exact ");
    assert!(failure.replay.starts_with(&command), "{failure}");
    assert!(!failure.trace.to_string().is_empty(), "{failure}");
}

/// Fails if the order is one of two delays, and says which orders were run.
#[test]
fn prints_its_orders() {
    let report = Sim::new().all_orders(2).try_run(first_comes_last);
    println!("runs {:?}", report.map(|report| report.runs.len()).map_err(|failure| failure.runs));
}

/// Runs `prints_its_orders` with an order from the environment, and gives what it writes.
fn orders_printed(value: Option<&str>) -> String {
    let mut test = std::process::Command::new(std::env::current_exe().expect("this program"));
    test.args(["--exact", "orders::prints_its_orders", "--nocapture"]);
    test.env_remove(ORDER_VARIABLE).envs(value.map(|value| (ORDER_VARIABLE, value)));
    let output = test.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    text(output.stdout) + &text(output.stderr)
}

#[test]
fn the_environment_pins_an_order() {
    let runs = |value: Option<&str>| {
        let text = orders_printed(value);
        text.lines().find_map(|line| line.split_once("runs ")).map(|(_, runs)| runs.to_owned())
    };
    let all = runs(None).expect("they are run");
    assert!(all.starts_with("Err(") && all != "Err(1)", "{all}");
    assert_eq!(runs(Some("none")).as_deref(), Some("Ok(1)"), "the first one, and no other");
    let failure = Sim::new().ignore_environment().all_orders(2).try_run(first_comes_last);
    let failure = failure.expect_err("it is one of all");
    let order = failure.strategy.rsplit(' ').next();
    assert_eq!(runs(order).as_deref(), Some("Err(1)"));
    assert_eq!(runs(Some("7")), None, "no order: the test fails");
}

/// As one that was noted before the program was changed.
#[test]
fn a_pinned_order_that_cannot_be_followed_fails_loudly() {
    for (order, place) in [("9999:1", "choice 9999 is to be 1"), ("0:99", "choice 0 is to be 99")] {
        let text = orders_printed(Some(order));
        assert!(!text.contains("runs "), "{text}");
        assert!(
            text.contains(&format!("the order {order} cannot be followed: {place}, ")),
            "{text}"
        );
        assert!(text.contains(&format!("{ORDER_VARIABLE} is of another program")), "{text}");
    }
}

#[test]
#[should_panic(expected = "the test does not make the same choices each time")]
fn a_test_that_does_something_else_each_time_fails_loudly() {
    let runs = AtomicU32::new(0);
    let _ = Sim::new().ignore_environment().all_orders(1).try_run(|rt| {
        let is_first = runs.fetch_add(1, Relaxed) == 0;
        async move {
            if is_first {
                three_senders(rt).await;
            }
        }
    });
}
