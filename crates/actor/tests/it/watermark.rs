//! Long mailboxes are told of, and that they are short again.

use crate::support;

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use support::{
    puppet::{Event, Events, Plain, Script, ask, hang, later, note, settled},
    yield_now,
};
use whitebeam_actor::{
    ActorRef, Builder, Handle, MAILBOX_EVENTS_PER_SECOND, MAILBOX_HIGH, MAILBOX_LOW, MailboxLevel,
    Overflow, Pid, Runtime, RuntimeEvent, SpawnOptions, oneshot,
};

type Do = support::puppet::Do<false>;

#[derive(Clone, Debug)]
enum Seen {
    High(MailboxLevel),
    Low(MailboxLevel),
}

type Told = Arc<Mutex<Vec<Seen>>>;

/// Runs a test with settings of its own, in simulations and on threads.
#[track_caller]
fn built<F: Future<Output = ()>>(
    set: impl Fn(Builder) -> Builder,
    test: impl Fn(Handle, Told) -> F,
) {
    for place in 0..10 {
        let told = Told::default();
        let hook = told.clone();
        let builder = set(Runtime::builder()).on_event(move |event| match event {
            RuntimeEvent::MailboxHigh(level) => hook.lock().push(Seen::High(level.clone())),
            RuntimeEvent::MailboxLow(level) => hook.lock().push(Seen::Low(level.clone())),
            _ => {}
        });
        let rt = match place {
            8 => builder.workers(1).build(),
            9 => builder.workers(4).build(),
            seed => builder.build_simulated(seed),
        };
        let rt = rt.expect("a runtime");
        rt.block_on(test(rt.handle(), told));
        let report = rt.block_on(rt.shutdown(Duration::from_secs(10)));
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Sends so many while it is held in a handler, then lets it go and waits until all are handled.
async fn flood(rt: &Handle, puppet: &ActorRef<Do>, messages: usize) {
    let events = Events::new();
    let (go, gate) = oneshot::<()>();
    let told = events.clone();
    let job = later(move |_, _| {
        Box::pin(async move {
            told.send(Event::Note(0));
            let _ = gate.await;
            Ok(())
        })
    });
    puppet.cast(job).expect("it lives");
    events.note().await;
    for number in 0..messages {
        puppet.cast(note(&events, number as u64)).expect("it lives");
    }
    go.send(());
    settled(puppet).await;
    // A turn that has handled the last of them is still to look.
    while rt
        .info(puppet)
        .is_some_and(|info| !matches!(info.status, whitebeam_actor::Status::Waiting))
    {
        look_again(rt).await;
    }
}

/// For who waits for what no event tells of. (A simulated runtime that runs a future by itself goes on with others
/// only when that waits.)
async fn look_again(rt: &Handle) {
    rt.sleep(Duration::from_millis(1)).await;
}

async fn start(rt: &Handle, options: SpawnOptions) -> ActorRef<Do> {
    rt.with(options).start::<Plain>(Script::new()).await.expect("a puppet")
}

fn counted(told: &Told) -> (usize, usize) {
    let told = told.lock();
    let high = told.iter().filter(|seen| matches!(seen, Seen::High(_))).count();
    (high, told.len() - high)
}

#[test]
fn a_long_mailbox_is_told_of_once_and_so_is_its_end() {
    let set = |builder: Builder| builder.mailbox_watermark(300, 20);
    built(set, async |rt, told| {
        let puppet = start(&rt, SpawnOptions::new().name("flooded").label("a puppet")).await;
        flood(&rt, &puppet, 250).await;
        assert_eq!(counted(&told), (0, 0), "below");
        for time in 1..=2 {
            flood(&rt, &puppet, 500).await;
            assert_eq!(counted(&told), (time, time));
        }
        let told = told.lock().clone();
        let [Seen::High(high), Seen::Low(low), ..] = &told[..] else { panic!("{told:?}") };
        assert_eq!((high.pid, low.pid), (puppet.pid(), puppet.pid()));
        assert_eq!((high.watermark, low.watermark), (300, 20));
        // Of those of the flood, and the question behind it.
        assert!((300..=501).contains(&high.len), "{high:?}");
        assert!(low.len <= 20, "{low:?}");
        assert_eq!(high.name, Some("flooded".into()));
        assert_eq!(high.label, Some("a puppet".into()));
        assert!(high.actor.contains("Puppet"), "{high:?}");
        assert_eq!((high.suppressed, low.suppressed), (0, 0));
    });
}

#[test]
fn the_default_is_on() {
    let set = |builder: Builder| builder;
    built(set, async |rt, told| {
        let puppet = start(&rt, SpawnOptions::new()).await;
        // With the question behind it there is one more.
        flood(&rt, &puppet, MAILBOX_HIGH - 2).await;
        assert_eq!(counted(&told), (0, 0));
        flood(&rt, &puppet, MAILBOX_HIGH).await;
        assert_eq!(counted(&told), (1, 1));
        let told = told.lock().clone();
        let Seen::Low(low) = &told[1] else { panic!("{told:?}") };
        assert!(low.watermark == MAILBOX_LOW && low.len <= MAILBOX_LOW, "{low:?}");
    });
}

#[test]
fn a_process_may_have_levels_of_its_own() {
    let set = |builder: Builder| builder.mailbox_watermark(0, 0);
    built(set, async |rt, told| {
        let (quiet, own) =
            (start(&rt, SpawnOptions::new()).await, SpawnOptions::new().watermark(100, 10));
        flood(&rt, &quiet, 20_000).await;
        assert_eq!(counted(&told), (0, 0), "it is off");
        let own = start(&rt, own).await;
        flood(&rt, &own, 200).await;
        assert_eq!(counted(&told), (1, 1));
        let off = start(&rt, SpawnOptions::new().watermark(0, 0)).await;
        flood(&rt, &off, 200).await;
        assert_eq!(counted(&told), (1, 1));
    });
}

/// Between the levels nothing is told.
#[test]
fn it_is_told_again_only_when_it_was_short() {
    let set = |builder: Builder| builder.mailbox_watermark(200, 0);
    built(set, async |rt, told| {
        let events = Events::new();
        let puppet = start(&rt, SpawnOptions::new()).await;
        let me = puppet.clone();
        // Each message of a flood that it is at sends two more, for some time: it stays long.
        let (tell, more) = (events.clone(), events.clone());
        let job = later(move |_, _| {
            Box::pin(async move {
                for number in 0..1_000 {
                    me.cast(note(&tell, number)).expect("it lives");
                    if number % 100 == 0 {
                        yield_now().await;
                    }
                }
                Ok(())
            })
        });
        puppet.cast(job).expect("it lives");
        for number in 0..1_000 {
            assert_eq!(more.note().await, number);
        }
        settled(&puppet).await;
        flood(&rt, &puppet, 1).await;
        assert_eq!(counted(&told), (1, 1));
    });
}

#[test]
fn of_many_at_once_a_few_are_told_and_the_next_says_how_many_were_not() {
    let set = |builder: Builder| builder.mailbox_watermark(100, 10);
    built(set, async |rt, told| {
        // Real time may pass a second boundary; virtual time does not.
        if rt.workers() > 1 || !rt.metrics().is_empty() {
            return;
        }
        let most = MAILBOX_EVENTS_PER_SECOND as usize;
        let mut pids = Vec::<Pid>::new();
        for _ in 0..most + 5 {
            let puppet = start(&rt, SpawnOptions::new()).await;
            pids.push(puppet.pid());
            flood(&rt, &puppet, 150).await;
        }
        // That of one which was not told of is not told either when it is over.
        assert_eq!(counted(&told), (most, most));
        rt.sleep(Duration::from_secs(1)).await;
        let puppet = start(&rt, SpawnOptions::new()).await;
        flood(&rt, &puppet, 150).await;
        let told = told.lock().clone();
        let Some(Seen::High(next)) = told.iter().rev().nth(1) else { panic!("{told:?}") };
        assert_eq!((next.pid, next.suppressed), (puppet.pid(), 5));
    });
}

/// The owner finds it: not while a handler does not come back, and no end of it is told when the process ends.
#[test]
fn a_process_that_ends_above_is_told_of_once() {
    let set = |builder: Builder| builder.mailbox_watermark(100, 10);
    built(set, async |rt, told| {
        let events = Events::new();
        let puppet = start(&rt, SpawnOptions::new()).await;
        puppet.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        for number in 0..1_000 {
            puppet.cast(note(&events, number)).expect("it lives");
        }
        // It drains when it is asked, and handles nothing.
        rt.relations(&puppet).await;
        while counted(&told) == (0, 0) {
            look_again(&rt).await;
        }
        assert_eq!(counted(&told), (1, 0));
        support::puppet::kill(&rt, puppet.pid()).await;
        while rt.unread_counts().dropped < 1_000 {
            look_again(&rt).await;
        }
        assert_eq!(counted(&told), (1, 0));
    });
}

#[test]
fn a_hook_that_panics_or_sends_does_no_harm() {
    support::expect_panics();
    for simulated in [true, false] {
        let cycle = Arc::new(Mutex::new(None::<ActorRef<Do>>));
        let events = Events::new();
        let (to, told) = (cycle.clone(), events.clone());
        let builder = Runtime::builder().mailbox_watermark(100, 10).on_event(move |_| {
            if let Some(to) = &*to.lock() {
                to.cast(note(&told, 7_777)).expect("it lives");
            }
            panic!("{}", support::EXPECTED)
        });
        let rt = if simulated { builder.build_simulated(1) } else { builder.workers(1).build() };
        let rt = rt.expect("a runtime");
        let handle = rt.handle();
        rt.block_on(async {
            let puppet = start(&handle, SpawnOptions::new()).await;
            *cycle.lock() = Some(puppet.clone());
            flood(&handle, &puppet, 500).await;
            assert_eq!(events.note().await, 7_777);
            assert_eq!(events.note().await, 7_777);
            assert_eq!(ask(&puppet, |_| 1).await, 1);
            assert_eq!(handle.event_counts().panics, 2);
        });
    }
}

#[test]
fn a_bounded_mailbox_is_told_of_as_well() {
    let set = |builder: Builder| builder.mailbox_watermark(300, 20);
    built(set, async |rt, told| {
        for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest] {
            told.lock().clear();
            let puppet = start(&rt, SpawnOptions::new().bounded(500, overflow)).await;
            flood(&rt, &puppet, 250).await;
            assert_eq!(counted(&told), (0, 0), "below, {overflow:?}");
            flood(&rt, &puppet, 400).await;
            assert_eq!(counted(&told), (1, 1), "{overflow:?}");
            let first = told.lock()[0].clone();
            let Seen::High(high) = first else { panic!("{first:?}") };
            assert!((300..=410).contains(&high.len), "{high:?}");
            support::puppet::kill(&rt, puppet.pid()).await;
        }
    });
}
