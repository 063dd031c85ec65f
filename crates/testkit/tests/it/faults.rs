//! Faults strike whom they name, as often as they are to, and by the seed.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::poll_immediate;
use parking_lot::Mutex;
use whitebeam::{Overflow, SendFailure, prelude::*};
use whitebeam_testkit::{Faults, Life, Probe, Sim, TestRuntime, Who};

const MILLI: Duration = Duration::from_millis(1);

/// Passes numbers on.
struct Node(ActorRef<u32>);

impl Actor for Node {
    type Args = ActorRef<u32>;
    type Msg = u32;

    async fn init(to: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Node(to))
    }

    async fn handle(&mut self, number: u32, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.0.cast(number)?)
    }
}

#[test]
fn a_crash_comes_at_each_of_the_messages_that_it_may_come_at() {
    let handled = Mutex::new(BTreeSet::new());
    let faults = Faults::new().crash_within(Who::actor::<Node>(), 1, 4);
    Sim::new().ignore_environment().faults(faults).run(|rt| {
        let handled = &handled;
        async move {
            let probe = Probe::start(&rt).await;
            let node = rt.start::<Node>(probe.actor().clone()).await.expect("a node");
            for number in 0..4 {
                let _ = node.cast(number);
            }
            rt.run_until_idle().await;
            let crashes = rt.crashes();
            assert_eq!(crashes.len(), 1);
            let ExitReason::Panic(panic) = &crashes[0].1 else { panic!("{crashes:?}") };
            assert_eq!(panic.message(), "crashed by a fault");
            handled.lock().insert(probe.take().len());
        }
    });
    assert_eq!(handled.into_inner(), BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_crash_comes_at_one_of_the_next_32_messages() {
    let handled = Mutex::new(BTreeSet::new());
    let faults = Faults::new().crash(Who::actor::<Node>(), 1);
    Sim::new().ignore_environment().faults(faults).run(|rt| {
        let handled = &handled;
        async move {
            let probe = Probe::start(&rt).await;
            let node = rt.start::<Node>(probe.actor().clone()).await.expect("a node");
            for number in 0..40 {
                let _ = node.cast(number);
            }
            rt.run_until_idle().await;
            assert_eq!(rt.crashes().len(), 1);
            handled.lock().insert(probe.take().len());
        }
    });
    let handled = handled.into_inner();
    assert!(handled.iter().all(|handled| *handled < 32), "{handled:?}");
    assert!(handled.len() > 16, "64 seeds, spread over all: {handled:?}");
}

#[test]
fn a_supervisor_starts_again_what_a_fault_has_crashed() {
    let faults = Faults::new().crash_within(Who::actor::<Node>(), 2, 2);
    Sim::new().faults(faults).run(|rt| async move {
        let probe = Probe::start(&rt).await;
        let to = probe.actor().clone();
        let nodes = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            Child::new::<Node>("node", to.clone())
        });
        let nodes = nodes.start(&rt).await.expect("nodes");
        for number in 0..10 {
            let _ = nodes.of(&0).cast(number);
            rt.run_until_idle().await;
        }
        assert_eq!(rt.crashes().len(), 2, "no more than it was told");
        let attempts = rt.lifecycle().into_iter().filter_map(|lived| match lived.what {
            Life::Spawned { attempt, .. } if *lived.actor == *"Node" => Some(attempt),
            _ => None,
        });
        assert_eq!(attempts.collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(probe.take().len(), 8, "each crash cost one message");
    });
}

/// Two nodes that send to one probe, the first after the second.
async fn race(rt: &TestRuntime) -> Vec<u32> {
    let probe = Probe::<u32>::start(rt).await;
    let named = |name: &str| SpawnOptions::new().name(name);
    let to = probe.actor().clone();
    let middle = rt.with(named("middle")).start::<Node>(to.clone()).await.expect("middle");
    let slow = rt.with(named("slow")).start::<Node>(middle).await.expect("slow");
    slow.cast(1).expect("sent");
    slow.cast(2).expect("sent");
    rt.run_until_idle().await;
    let mut seen = probe.take();
    rt.advance(3 * MILLI).await;
    seen.push(99);
    seen.extend(probe.take());
    seen
}

#[test]
fn a_delay_holds_up_what_one_sends_to_the_other_and_keeps_its_order() {
    let seen = Mutex::new(BTreeSet::new());
    let faults = Faults::new().delay(Who::named("slow"), Who::named("middle"), MILLI);
    Sim::new().ignore_environment().faults(faults).run(|rt| {
        let seen = &seen;
        async move {
            let raced = race(&rt).await;
            seen.lock().insert(raced);
        }
    });
    let all = [vec![1, 2, 99], vec![1, 99, 2], vec![99, 1, 2]];
    assert_eq!(seen.into_inner(), BTreeSet::from(all));
}

#[test]
fn a_delay_between_others_holds_up_nobody() {
    let faults = Faults::new().delay(Who::named("middle"), Who::named("slow"), MILLI);
    Sim::new().faults(faults).run(|rt| async move {
        assert_eq!(race(&rt).await, [1, 2, 99]);
    });
}

#[test]
fn a_slow_init_takes_its_time() {
    let took = Mutex::new(BTreeSet::new());
    let faults = Faults::new().slow_init(Who::actor::<Node>(), MILLI);
    Sim::new().ignore_environment().faults(faults).run(|rt| {
        let took = &took;
        async move {
            let probe = Probe::start(&rt).await;
            assert_eq!(rt.uptime(), Duration::ZERO, "the probe is no node");
            rt.start::<Node>(probe.actor().clone()).await.expect("a node");
            assert!(rt.uptime() <= MILLI);
            took.lock().insert(rt.uptime());
        }
    });
    assert!(took.into_inner().len() > 50, "drawn from the seed");
}

#[test]
fn starts_fail_as_often_as_they_are_told_to() {
    let faults = Faults::new().fail_start(Who::actor::<Node>(), 2);
    Sim::new().seeds(4).faults(faults).run(|rt| async move {
        let probe = Probe::start(&rt).await;
        for _ in 0..2 {
            let failed = rt.start::<Node>(probe.actor().clone()).await.expect_err("it is to fail");
            let StartError::Exit(reason) = failed else { panic!("{failed}") };
            assert_eq!(reason.downcast_ref(), Some(&"a start that was to fail"));
        }
        rt.start::<Node>(probe.actor().clone()).await.expect("the third one");
    });
}

#[test]
fn faults_do_not_take_each_others_place() {
    let node = Who::actor::<Node>;
    let faults = Faults::new()
        .slow_init(node(), MILLI)
        .fail_start(node(), 1)
        .delay(Who::any(), node(), MILLI)
        .crash_within(node(), 1, 3);
    Sim::new().seeds(16).faults(faults).run(|rt| async move {
        let probe = Probe::start(&rt).await;
        rt.start::<Node>(probe.actor().clone()).await.expect_err("the first one");
        let node = rt.start::<Node>(probe.actor().clone()).await.expect("the second one");
        for number in 0..3 {
            let _ = node.cast(number);
        }
        rt.advance(4 * MILLI).await;
        assert!(probe.take().len() < 3);
        assert_eq!(rt.crashes().len(), 2, "the failed start, and one of three messages");
    });
}

/// A node that is held in its handler, and how many more it takes until one is refused.
async fn room_of(rt: &TestRuntime, options: SpawnOptions, most: u32) -> u32 {
    let probe = Probe::start(rt).await;
    let node = rt.with(options).start::<Node>(probe.actor().clone()).await.expect("a node");
    let refused = (0..most).find_map(|number| node.cast(number).err().map(|error| (number, error)));
    let Some((number, error)) = refused else { return most };
    assert_eq!((error.why(), error.into_message()), (SendFailure::Full, number));
    number
}

fn bounded(limit: usize) -> SpawnOptions {
    SpawnOptions::new().bounded(limit, Overflow::Reject)
}

#[test]
fn mailboxes_are_no_larger_than_they_are_said_to_be() {
    let faults = Faults::new().capacity(Who::any(), 2).capacity(Who::named("small"), 1);
    Sim::new().seeds(4).faults(faults).run(|rt| async move {
        assert_eq!(room_of(&rt, bounded(8), 9).await, 2);
        assert_eq!(room_of(&rt, bounded(8).name("small"), 9).await, 1, "the least of several");
        assert_eq!(room_of(&rt, bounded(1), 9).await, 1, "never larger");
        assert_eq!(room_of(&rt, SpawnOptions::new(), 9).await, 9, "no bound, no fault");
    });
    Sim::new().seeds(1).faults(Faults::new().capacity(Who::any(), 0)).run(|rt| async move {
        assert_eq!(room_of(&rt, bounded(8), 9).await, 1, "one in any case");
    });
}

#[test]
fn a_mailbox_is_full_for_one_of_the_next_32_messages() {
    let seen = Mutex::new(BTreeSet::new());
    let faults = Faults::new().fill(Who::actor::<Node>(), 1);
    Sim::new().ignore_environment().seeds(256).faults(faults).run(|rt| {
        let seen = &seen;
        async move {
            assert_eq!(room_of(&rt, SpawnOptions::new(), 64).await, 64, "it has no bound");
            let full_at = room_of(&rt, bounded(64), 64).await;
            assert!(full_at < 32);
            seen.lock().insert(full_at);
            assert_eq!(room_of(&rt, bounded(64), 64).await, 64, "once");
        }
    });
    assert!(seen.into_inner().len() > 28, "drawn from the seed");
}

#[test]
fn who_waits_at_a_mailbox_that_is_said_to_be_full_is_let_in() {
    let waited = Mutex::new(0);
    let faults = Faults::new().fill(Who::any(), 4);
    Sim::new().ignore_environment().faults(faults).run(|rt| {
        let waited = &waited;
        async move {
            let probe = Probe::start(&rt).await;
            let node = rt.with(bounded(64)).start::<Node>(probe.actor().clone()).await;
            let node = node.expect("a node");
            for number in 0..40 {
                let mut sent = node.cast_wait(number);
                if poll_immediate(&mut sent).await.is_none() {
                    *waited.lock() += 1;
                    sent.await.expect("it lives");
                }
            }
            rt.run_until_idle().await;
            assert_eq!(probe.take(), (0..40).collect::<Vec<_>>());
        }
    });
    assert!(waited.into_inner() > 64);
}

#[test]
fn a_full_mailbox_is_dealt_with_by_its_policy() {
    Sim::new().seeds(16).faults(Faults::new().fill(Who::any(), 1)).run(|rt| async move {
        for (overflow, dropped) in [(Overflow::DropNewest, 1), (Overflow::DropOldest, 0)] {
            let probe = Probe::start(&rt).await;
            let options = SpawnOptions::new().bounded(64, overflow);
            let node = rt.with(options).start::<Node>(probe.actor().clone()).await.expect("a node");
            for number in 0..64 {
                node.cast(number).expect("never refused");
            }
            let info = node.info().expect("it lives");
            assert_eq!((info.dropped, info.mailbox_len as u64), (dropped, 64 - dropped));
        }
    });
    Sim::new().seeds(16).faults(Faults::new().fill(Who::any(), 1)).run(|rt| async move {
        let probe = Probe::start(&rt).await;
        let options = SpawnOptions::new().bounded(64, Overflow::DropOldest);
        let node = rt.with(options).start::<Node>(probe.actor().clone()).await.expect("a node");
        for number in 0..64 {
            node.cast(number).expect("never refused");
        }
        // Unless it was the first message, which had none before it.
        let lost = node.info().expect("it lives").dropped;
        rt.run_until_idle().await;
        let expected: Vec<u32> = (lost as u32..64).collect();
        assert_eq!(probe.take(), expected);
    });
}
