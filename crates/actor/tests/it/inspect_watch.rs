//! How closely processes are watched: levels, traces, ages of messages.

use crate::support;

use std::time::Duration;

use support::{
    everywhere,
    puppet::{
        Events, Plain, Script, Tidy, ask, down, hang, kill, later, note, now, plain, settled, trap,
    },
    simulated, threaded,
};
use whitebeam_actor::{
    ActorRef, By, Handle, Info, Level, Mailbox, MessageAge, Pid, Reply, Runtime, SpawnOptions,
    Status, Trace, TraceEntry, Traced,
};

const MS: Duration = Duration::from_millis(1);

fn info(rt: &Handle, of: impl whitebeam_actor::Target) -> Info {
    rt.info(of).expect("it lives")
}

/// Runs for so long.
async fn burn(process: &ActorRef<support::puppet::Do<false>>, time: Duration) {
    ask(process, move |cx| {
        let begun = cx.runtime().uptime();
        while cx.runtime().uptime() - begun < time {
            std::hint::spin_loop();
        }
    })
    .await;
}

#[test]
fn times_are_taken_while_the_level_says_so() {
    threaded(|rt| async move {
        let (old, idle) = (plain(&rt).await, plain(&rt).await);
        burn(&old, 3 * MS).await;
        assert_eq!(info(&rt, &old).busy, None);
        rt.set_level(Level::Times);
        let young = plain(&rt).await;
        for process in [&old, &young] {
            // The turn in which it notices is not timed, and may go on for some messages.
            while info(&rt, process).busy.is_none_or(|busy| busy < 5 * MS) {
                burn(process, 5 * MS).await;
                rt.sleep(MS).await;
            }
            assert!(info(&rt, process).busy < Some(rt.uptime()));
        }
        assert_eq!(info(&rt, &idle).busy, None, "it did not run");
        let most = rt.top(By::Busy, 2);
        assert!(most.iter().all(|info| [old.pid(), young.pid()].contains(&info.pid)));

        rt.set_level(Level::Counts);
        let busy = async || {
            settled(&old).await;
            while info(&rt, &old).status != Status::Waiting {
                rt.sleep(MS).await;
            }
            info(&rt, &old).busy
        };
        let before = busy().await;
        burn(&old, 3 * MS).await;
        assert_eq!(busy().await, before, "no more time is taken");
        let late = plain(&rt).await;
        burn(&late, MS).await;
        assert_eq!(info(&rt, &late).busy, None);
    });
}

/// A process that ends, crashes, or is ended while its turns are timed.
#[test]
fn timed_turns_end_as_others_do() {
    everywhere(|rt| async move {
        rt.set_level(Level::Times);
        let events = Events::new();
        for _ in 0..3 {
            let stops = plain(&rt).await;
            let gone = rt.down(&stops);
            stops
                .cast(now(|cx| {
                    cx.stop(whitebeam_actor::ExitReason::Normal);
                    Ok(())
                }))
                .expect("it lives");
            assert!(gone.await.reason.is_normal());
            let script = Script::new().tell_terminate(&events);
            let tidy = rt.start::<Tidy>(script).await.expect("a process");
            rt.exit(&tidy, whitebeam_actor::ExitReason::Shutdown);
            events.terminated().await;
            let killed = plain(&rt).await;
            killed.cast(hang(&events, ())).expect("it lives");
            events.hanging().await;
            (0..5).for_each(|n| _ = killed.cast(note(&events, n)));
            kill(&rt, killed.pid()).await;
        }
        rt.set_level(Level::Full);
        let last = plain(&rt).await;
        settled(&last).await;
    });
}

#[test]
fn the_level_full_says_since_when_a_message_is_in_hand() {
    simulated(|rt| async move {
        let events = Events::new();
        let before = plain(&rt).await;
        rt.set_level(Level::Full);
        let after = plain(&rt).await;
        for process in [&before, &after] {
            rt.sleep(5 * MS).await;
            process.cast(hang(&events, ())).expect("it lives");
            events.hanging().await;
            rt.sleep(30 * MS).await;
            assert_eq!(info(&rt, process).in_hand_for, Some(30 * MS));
            assert_eq!(info(&rt, process).message, None, "a puppet names no messages");
        }
        let other = plain(&rt).await;
        settled(&other).await;
        assert_eq!(info(&rt, &other).in_hand_for, None);
    });
}

/// What a trace has, in words. A simulation may have code suspend more often than it does by itself.
fn words(entries: &[TraceEntry]) -> Vec<String> {
    let mut words: Vec<_> = entries.iter().map(|entry| entry.what.to_string()).collect();
    words.dedup_by(|one, other| one == other && one == "suspended");
    words
}

/// Whether the last event is the end of a handler, which comes behind the answer that the test has.
fn is_complete(trace: &Trace) -> bool {
    trace.entries().last().is_some_and(|last| last.what == Traced::Finished)
}

async fn completed(rt: &Handle, trace: &Trace) {
    while !is_complete(trace) {
        rt.sleep(MS).await;
    }
}

#[test]
fn a_trace_has_the_last_events() {
    everywhere(|rt| async move {
        let events = Events::new();
        let process = plain(&rt).await;
        let other = plain(&rt).await;
        settled(&process).await;
        let trace = rt.trace(&process, 100).expect("it lives");
        assert_eq!(trace.pid(), process.pid());
        settled(&process).await;
        let (said, to) = (events.clone(), other.clone());
        ask(&process, move |cx| {
            trap(cx, &said);
            cx.monitor(&to, down(&said, 1));
            cx.send_after(MS, note(&said, 7));
        })
        .await;
        assert_eq!(events.note().await, 7);
        let sleeps = later(|_, cx: &mut whitebeam_actor::Context<Plain>| {
            let sleep = cx.runtime().sleep(MS);
            Box::pin(async move {
                sleep.await;
                Ok(())
            })
        });
        process.cast(sleeps).expect("it lives");
        settled(&process).await;
        kill(&rt, other.pid()).await;
        events.down().await;
        settled(&process).await;
        completed(&rt, &trace).await;
        let entries = trace.entries();
        let type_name = std::any::type_name::<support::puppet::Do<false>>();
        let (message, request) = (format!("message {type_name}"), format!("request {type_name}"));
        let down = format!("signal: {} is down: killed", other.pid());
        let expected = [
            &request,
            "finished",
            &request,
            "finished",
            "timer fired",
            &message,
            "finished",
            &message,
            "suspended",
            "finished",
            &request,
            "finished",
            &down,
            &message,
            "finished",
            &request,
            "finished",
        ];
        assert_eq!(words(&entries), expected);
        assert!(entries.iter().map(|entry| entry.number).eq(1..=trace.total()));
        assert!(entries.is_sorted_by_key(|entry| entry.at));
        assert_eq!(trace.to_string().lines().count(), entries.len());

        // The end, which can be read behind it.
        let gone = rt.down(&process);
        rt.exit(&process, whitebeam_actor::ExitReason::Kill);
        gone.await;
        let last = words(&trace.entries()).split_off(17);
        assert_eq!(last.last().map(String::as_str), Some("exited: killed"), "{last:?}");
        assert!(last.contains(&"signal: monitored".to_owned()), "{last:?}");
        assert!(rt.trace(&process, 1).is_none(), "it has ended");
    });
}

#[test]
fn a_trace_is_bounded_and_ends_when_it_is_dropped() {
    everywhere(|rt| async move {
        let (process, other) = (plain(&rt).await, plain(&rt).await);
        let few = rt.trace(&process, 4).expect("it lives");
        let many = rt.trace(&process, 100).expect("it lives");
        for _ in 0..10 {
            settled(&process).await;
            settled(&other).await;
        }
        completed(&rt, &few).await;
        completed(&rt, &many).await;
        assert_eq!((few.entries().len(), few.total()), (4, 20));
        assert_eq!(few.entries()[..], many.entries()[16..]);
        drop(few);
        settled(&process).await;
        completed(&rt, &many).await;
        assert_eq!(many.total(), 22, "the other one goes on");
        drop(many);
        settled(&process).await;
        settled(&process).await;
        while info(&rt, &process).status != Status::Waiting {
            rt.sleep(MS).await;
        }
        let again = rt.trace(&process, 4).expect("it lives");
        assert_eq!(again.total(), 0);
        settled(&process).await;
        completed(&rt, &again).await;
        assert_eq!(again.total(), 2);
    });
}

#[test]
fn a_trace_of_a_body_and_of_who_keeps_names() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().keep_last(1);
        let body = rt.with(options).spawn_fn(async |mut mailbox: Mailbox<Reply<u32>>| {
            loop {
                mailbox.recv().await.send(1);
            }
        });
        let ask = async || body.call(|reply| reply).await.expect("an answer");
        ask().await;
        let trace = rt.trace(&body, 10).expect("it lives");
        ask().await;
        ask().await;
        let is_request = |entry: &TraceEntry| matches!(entry.what, Traced::Message { .. });
        assert_eq!(trace.entries().iter().filter(|entry| is_request(entry)).count(), 2);
        drop(trace);
        ask().await;
        assert_eq!(info(&rt, &body).last_messages.len(), 1, "names are kept without the trace");
        kill(&rt, body.pid()).await;
    });
}

#[test]
fn a_body_that_looks_without_waiting_is_traced() {
    everywhere(|rt| async move {
        let body = rt.spawn_fn(async |mut mailbox: Mailbox<Reply<u32>>| {
            let rt = mailbox.runtime().clone();
            loop {
                for _ in 0..10 {
                    if let Some(reply) = mailbox.try_recv() {
                        reply.send(1);
                    }
                }
                rt.sleep(Duration::from_micros(10)).await;
            }
        });
        body.call(|reply| reply).await.expect("an answer");
        let trace = rt.trace(&body, 1_000).expect("it lives");
        while trace.total() == 0 {
            body.call(|reply| reply).await.expect("an answer");
        }
        kill(&rt, body.pid()).await;
    });
}

#[test]
fn any_number_of_names_may_be_asked_for() {
    everywhere(|rt| async move {
        for most in [0, usize::MAX] {
            let body = rt.with(SpawnOptions::new().keep_last(most)).spawn_fn(
                async |mut mailbox: Mailbox<Reply<u32>>| {
                    loop {
                        mailbox.recv().await.send(1);
                    }
                },
            );
            for _ in 0..3 {
                body.call(|reply| reply).await.expect("an answer");
            }
            assert_eq!(info(&rt, &body).last_messages.len(), most.min(3));
            kill(&rt, body.pid()).await;
        }
    });
}

#[test]
fn the_age_of_what_ends_of_children_overtake_has_no_upper_bound() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().priority_lane();
        let events = Events::new();
        let process = rt.with(options).start::<Plain>(Script::new()).await.expect("a puppet");
        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        process.cast(note(&events, 1)).expect("it lives");
        let _ = rt.diagnose();
        rt.sleep(Duration::from_millis(2)).await;
        let age = age(&rt, process.pid()).expect("it waits");
        assert!(age.at_most.is_none() && age.at_least > Duration::ZERO, "{age:?}");
        kill(&rt, process.pid()).await;
    });
}

fn age(rt: &Handle, of: Pid) -> Option<MessageAge> {
    info(rt, of).oldest_message
}

#[test]
fn ages_lie_between_looks() {
    simulated(|rt| async move {
        let events = Events::new();
        let process = plain(&rt).await;
        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        let walker = rt.walker(10 * MS).expect("a thread");
        assert_eq!(walker.every(), 10 * MS);
        // Looks at 0, 10, 20 ..; a message at 13, 23, 33.
        rt.sleep(3 * MS).await;
        assert_eq!(walker.walks(), 1);
        assert_eq!(age(&rt, process.pid()), None, "nothing waits");
        for n in 0..3 {
            rt.sleep(10 * MS).await;
            process.cast(note(&events, n)).expect("it lives");
        }
        let all = age(&rt, process.pid()).expect("messages wait");
        // Since 13: there at the look of 20, not at that of 10.
        assert_eq!((all.at_least, all.at_most), (13 * MS, Some(23 * MS)));
        rt.sleep(100 * MS).await;
        let later = age(&rt, process.pid()).expect("messages wait");
        assert_eq!((later.at_least, later.at_most), (113 * MS, Some(123 * MS)));
        let newer = plain(&rt).await;
        newer.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        newer.cast(note(&events, 9)).expect("it lives");
        let young = age(&rt, newer.pid()).expect("a message waits");
        assert_eq!((young.at_least, young.at_most), (Duration::ZERO, Some(3 * MS)));
        let oldest = rt.top(By::OldestMessage, 1);
        assert_eq!(oldest[0].pid, process.pid());

        // Without a walker the marks that are there go on to hold, and none is added.
        drop(walker);
        rt.sleep(100 * MS).await;
        let last = age(&rt, process.pid()).expect("messages wait");
        assert_eq!((last.at_least, last.at_most), (213 * MS, Some(223 * MS)));
        kill(&rt, process.pid()).await;
        kill(&rt, newer.pid()).await;
    });
}

/// Against the truth: each message has the time in it.
#[test]
fn ages_of_a_mailbox_that_moves_are_bounds_of_the_truth() {
    simulated(|rt| async move {
        let _walker = rt.walker(7 * MS).expect("a thread");
        let process = plain(&rt).await;
        // The first look is before the first message.
        rt.sleep(MS).await;
        let events = Events::new();
        // Two come in a millisecond, one is handled.
        let mut sent = std::collections::VecDeque::new();
        let mut handled = 0;
        for round in 0..200_u64 {
            for _ in 0..2 {
                let said = events.clone();
                sent.push_back(rt.uptime());
                process
                    .cast(later(move |_, cx: &mut whitebeam_actor::Context<Plain>| {
                        let sleep = cx.runtime().sleep(MS);
                        Box::pin(async move {
                            said.send(support::puppet::Event::Note(1));
                            sleep.await;
                            Ok(())
                        })
                    }))
                    .expect("it lives");
            }
            rt.sleep(MS).await;
            handled += events.take().len();
            let Some(age) = age(&rt, process.pid()) else { continue };
            let truth = rt.uptime() - sent[handled];
            let Some(most) = age.at_most else { panic!("the first look saw nothing") };
            assert!(age.at_least <= truth && truth <= most, "{round}: {age:?}, in truth {truth:?}");
        }
        kill(&rt, process.pid()).await;
    });
}

#[test]
fn a_runtime_walks_by_itself_if_it_is_told_to() {
    let built = |walks: bool, simulated: bool| {
        let mut builder = Runtime::builder().workers(1);
        if walks {
            builder = builder.walk_every(MS);
        }
        if simulated { builder.build_simulated(1) } else { builder.build() }
    };
    for simulated in [true, false] {
        for walks in [true, false] {
            let rt = built(walks, simulated).expect("a runtime");
            rt.block_on(async {
                let rt = rt.handle();
                let events = Events::new();
                let process = plain(&rt).await;
                process.cast(hang(&events, ())).expect("it lives");
                events.hanging().await;
                process.cast(note(&events, 1)).expect("it lives");
                if !walks {
                    rt.sleep(20 * MS).await;
                    assert_eq!(age(&rt, process.pid()), None);
                }
                while walks && age(&rt, process.pid()).is_none_or(|age| age.at_least < 5 * MS) {
                    rt.sleep(MS).await;
                }
                kill(&rt, process.pid()).await;
            });
        }
    }
}

/// The walker is a thread of its own: it goes on when the only worker does not.
#[test]
fn a_walker_goes_on_when_no_worker_does() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    let (unblock, block) = std::sync::mpsc::channel::<()>();
    let process = rt.block_on(async { plain(&rt).await });
    let _walker = rt.walker(MS).expect("a thread");
    process
        .cast(now(move |_| {
            let _ = block.recv();
            Ok(())
        }))
        .expect("it lives");
    process.cast(now(|_| Ok(()))).expect("it lives");
    while age(&rt, process.pid()).is_none_or(|age| age.at_least < 5 * MS) {
        std::hint::spin_loop();
    }
    drop(unblock);
    rt.block_on(settled(&process));
}
