//! Aliases, and what a monitor that was taken back leaves: addresses and messages that go with a switch.

use crate::support;

use support::{
    everywhere,
    puppet::{
        Do, Event, Events, ask, assert_because, assert_reason, because, down, note, now, plain,
        settled,
    },
};
use whitebeam_actor::{ActorRef, Alias, ExitReason, Handle, MonitorAlias, MonitorRef};

/// Has `by` send notes through an alias; they have arrived at its process when that has settled.
async fn send(by: &ActorRef<Do<false>>, alias: &Alias<Do<false>>, events: &Events, notes: &[u64]) {
    let (alias, told, notes) = (alias.clone(), events.clone(), notes.to_vec());
    ask(by, move |_| notes.into_iter().for_each(|n| alias.send(note(&told, n)))).await;
}

async fn watch(
    a: &ActorRef<Do<false>>,
    b: &ActorRef<Do<false>>,
    kind: MonitorAlias,
    events: &Events,
) -> (MonitorRef, Alias<Do<false>>) {
    let (pid, told) = (b.pid(), events.clone());
    ask(a, move |cx| cx.monitor_alias(pid, kind, down(&told, 1))).await
}

async fn end(rt: &Handle, puppet: &ActorRef<Do<false>>, reason: ExitReason) {
    let gone = rt.down(puppet);
    puppet.cast(now(move |_| Err(reason))).expect("cast");
    gone.await;
}

#[test]
fn proc_041_an_alias_is_on_until_it_is_taken_back() {
    everywhere(|rt| async move {
        let (t, p, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let alias = ask(&t, |cx| cx.alias()).await;
        send(&p, &alias, &events, &[1, 2]).await;
        assert_eq!((events.note().await, events.note().await), (1, 2));
        let off = alias.clone();
        assert!(ask(&t, move |cx| cx.unalias(&off)).await);
        send(&p, &alias, &events, &[3, 4]).await;
        settled(&t).await;
        assert!(events.take().is_empty());
        assert_eq!(rt.info(&t).expect("alive").mailbox_len, 0, "what was dropped counts no more");
        assert!(!ask(&t, move |cx| cx.unalias(&alias)).await, "it is off");
    });
}

#[test]
fn proc_042_an_alias_for_one_message() {
    everywhere(|rt| async move {
        let (t, p, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let alias = ask(&t, |cx| cx.alias_once()).await;
        send(&p, &alias, &events, &[1, 2, 3, 4]).await;
        assert_eq!(events.note().await, 1);
        settled(&t).await;
        assert!(events.take().is_empty());
        assert!(!ask(&t, move |cx| cx.unalias(&alias)).await, "it is off");
    });
}

#[test]
fn proc_043_only_its_owner_takes_an_alias_back() {
    everywhere(|rt| async move {
        let (t, q, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        // Both have an alias of the same number.
        let alias = ask(&t, |cx| cx.alias()).await;
        let _ = ask(&q, |cx| cx.alias()).await;
        let of_t = alias.clone();
        assert!(!ask(&q, move |cx| cx.unalias(&of_t)).await);
        send(&q, &alias, &events, &[1]).await;
        assert_eq!(events.note().await, 1);
        assert_eq!(format!("{alias:?}"), "Alias(..)", "whose it is cannot be seen");
    });
}

/// Through an alias as by the address: one stream.
#[test]
fn messages_through_an_alias_keep_their_place() {
    everywhere(|rt| async move {
        let (t, p, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let alias = ask(&t, |cx| cx.alias()).await;
        let (to, told) = (t.clone(), events.clone());
        ask(&p, move |_| {
            for n in 0..100 {
                if n % 3 == 0 {
                    alias.send(note(&told, n));
                } else {
                    to.cast(note(&told, n)).expect("cast");
                }
            }
        })
        .await;
        for n in 0..100 {
            assert_eq!(events.note().await, n);
        }
    });
}

/// What comes through the alias of a process that has ended is dropped, and its memory with it.
#[test]
fn an_alias_of_nobody_drops_what_it_is_sent() {
    everywhere(|rt| async move {
        let (t, events) = (plain(&rt).await, Events::new());
        let alias = ask(&t, |cx| cx.alias()).await;
        end(&rt, &t, ExitReason::Normal).await;
        let (counted, held) = (std::sync::Arc::new(()), Events::new());
        let inside = counted.clone();
        alias.send(now(move |_| {
            drop(inside);
            Ok(())
        }));
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
        assert!(events.take().is_empty() && held.take().is_empty());
    });
}

#[test]
fn mon_005_a_monitor_that_is_over_is_taken_back_without_effect() {
    everywhere(|rt| async move {
        let (a, b, c, events) =
            (plain(&rt).await, plain(&rt).await, plain(&rt).await, Events::new());
        // No reference can be made up: one that has fired, and one of somebody else's.
        let (over, _) = watch(&a, &b, MonitorAlias::Explicit, &events).await;
        end(&rt, &b, because("x")).await;
        events.down().await;
        for puppet in [a, c] {
            let plain = ask(&puppet, move |cx| cx.demonitor(over)).await;
            let flush = ask(&puppet, move |cx| cx.demonitor_flush(over)).await;
            assert!(!plain && !flush);
            assert!(rt.is_alive(&puppet));
        }
    });
}

#[test]
fn mon_010_a_flush_removes_the_message_that_waits() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (to, told) = (b.clone(), events.clone());
        let monitors =
            ask(&a, move |cx| [1, 2, 3, 4].map(|n| cx.monitor(&to, down(&told, n)))).await;
        let [m1, m2, m3, m4] = monitors;
        assert!(ask(&a, move |cx| cx.demonitor_flush(m1)).await, "it was active");
        // In one handler: the DOWNs of 2, 3 and 4 come into the mailbox while it waits, and wait there.
        let (gone, told) = (rt.down(&b), events.clone());
        let (reply, go) = whitebeam_actor::oneshot::<()>();
        a.cast(support::puppet::later(move |_, cx| {
            Box::pin(async move {
                let _ = go.await;
                let active = [cx.demonitor_flush(m3), cx.demonitor(m4)];
                told.send(Event::Note(u64::from(active != [false, false])));
                // What is removed is removed once.
                assert!(!cx.demonitor_flush(m3));
                Ok(())
            })
        }))
        .expect("cast");
        b.cast(now(|_| Err(because("bang")))).expect("cast");
        gone.await;
        // The DOWNs are in its stream: they were sent before the answer of this question was.
        while !rt.relations(&a).await.expect("alive").monitors.is_empty() {
            rt.sleep(std::time::Duration::from_millis(1)).await;
        }
        reply.send(());
        assert_eq!(events.note().await, 0, "both have fired");
        let mut told = [events.down().await.0, events.down().await.0];
        told.sort_unstable();
        assert_eq!(told, [2, 4], "the messages that were not flushed");
        assert!(!ask(&a, move |cx| cx.demonitor_flush(m2)).await);
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_011_an_explicit_alias_outlives_its_monitor() {
    everywhere(|rt| async move {
        let (a, b, p, events) =
            (plain(&rt).await, plain(&rt).await, plain(&rt).await, Events::new());
        let (monitor, alias) = watch(&a, &b, MonitorAlias::Explicit, &events).await;
        end(&rt, &b, because("x")).await;
        events.down().await;
        assert!(!ask(&a, move |cx| cx.demonitor(monitor)).await);
        assert!(!ask(&a, move |cx| cx.demonitor_flush(monitor)).await);
        send(&p, &alias, &events, &[1]).await;
        assert_eq!(events.note().await, 1);
        let off = alias.clone();
        assert!(ask(&a, move |cx| cx.unalias(&off)).await);
        send(&p, &alias, &events, &[2]).await;
        settled(&a).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn mon_027_a_demonitor_switches_the_reply_alias_off() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (monitor, alias) = watch(&a, &b, MonitorAlias::Reply, &events).await;
        assert!(ask(&a, move |cx| cx.demonitor(monitor)).await);
        send(&b, &alias, &events, &[1]).await;
        settled(&a).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn mon_028_an_explicit_alias_with_a_monitor_of_nobody() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let told = events.clone();
        ask(&a, move |cx| cx.monitor_name("nobody", down(&told, 7))).await;
        let (number, told) = events.down().await;
        assert_eq!(number, 7, "the constructor is the tag");
        assert_reason(&told.reason, &ExitReason::NoProc);
        // The same with an alias, of a process that has ended.
        end(&rt, &b, ExitReason::Normal).await;
        let p = plain(&rt).await;
        let (_, alias) = watch(&a, &b, MonitorAlias::Explicit, &events).await;
        assert_reason(&events.down().await.1.reason, &ExitReason::NoProc);
        send(&p, &alias, &events, &[1]).await;
        assert_eq!(events.note().await, 1);
        let off = alias.clone();
        assert!(ask(&a, move |cx| cx.unalias(&off)).await);
        send(&p, &alias, &events, &[2]).await;
        settled(&a).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn mon_029_an_explicit_alias_of_a_monitor() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (_, alias) = watch(&a, &b, MonitorAlias::Explicit, &events).await;
        send(&b, &alias, &events, &[1, 2]).await;
        assert_eq!((events.note().await, events.note().await), (1, 2));
        let off = alias.clone();
        assert!(ask(&a, move |cx| cx.unalias(&off)).await);
        send(&b, &alias, &events, &[3, 4]).await;
        end(&rt, &b, because("x")).await;
        assert_because(&events.down().await.1.reason, "x");
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_030_a_bound_alias_goes_with_a_demonitor() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (monitor, alias) = watch(&a, &b, MonitorAlias::Demonitor, &events).await;
        send(&b, &alias, &events, &[1, 2]).await;
        assert_eq!((events.note().await, events.note().await), (1, 2));
        assert!(ask(&a, move |cx| cx.demonitor(monitor)).await);
        send(&b, &alias, &events, &[3, 4]).await;
        end(&rt, &b, because("x")).await;
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_031_a_bound_alias_goes_with_the_down() {
    everywhere(|rt| async move {
        let (a, b, p, events) =
            (plain(&rt).await, plain(&rt).await, plain(&rt).await, Events::new());
        let (_, alias) = watch(&a, &b, MonitorAlias::Demonitor, &events).await;
        end(&rt, &b, because("x")).await;
        events.down().await;
        send(&p, &alias, &events, &[1]).await;
        settled(&a).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn mon_032_the_first_reply_switches_alias_and_monitor_off() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (monitor, alias) = watch(&a, &b, MonitorAlias::Reply, &events).await;
        send(&b, &alias, &events, &[1, 2]).await;
        assert_eq!(events.note().await, 1);
        assert!(!ask(&a, move |cx| cx.demonitor(monitor)).await, "it is off");
        assert_eq!(rt.relations(&b).await.expect("alive").monitored_by, []);
        end(&rt, &b, because("x")).await;
        events.quiet(&rt).await;
    });
}
