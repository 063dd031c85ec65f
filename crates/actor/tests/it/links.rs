//! Links: at most one per pair, made and taken back from both ends, atomic with a spawn.

use crate::support;

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use support::{
    everywhere,
    puppet::{
        Do, Event, Events, Plain, Script, ask, assert_because, assert_reason, because, note, now,
        plain, settled, trap,
    },
    scaled, threaded,
};
use whitebeam_actor::{ActorRef, Exit, ExitReason, Handle};

/// A puppet whose trapped EXITs are events.
async fn trapper(rt: &Handle) -> (ActorRef<Do<false>>, Events) {
    let events = Events::new();
    let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
    (puppet, events)
}

/// Ends a puppet and waits until it has ended.
async fn end(rt: &Handle, puppet: &ActorRef<Do<false>>, reason: ExitReason) {
    let down = rt.down(puppet);
    let given = reason.clone();
    puppet.cast(now(move |_| Err(given))).expect("cast");
    assert_reason(&down.await.reason, &reason);
}

async fn link(from: &ActorRef<Do<false>>, to: &ActorRef<Do<false>>) {
    let to = to.clone();
    ask(from, move |cx| cx.link(&to)).await;
}

async fn unlink(from: &ActorRef<Do<false>>, to: &ActorRef<Do<false>>) {
    let to = to.clone();
    ask(from, move |cx| cx.unlink(&to)).await;
}

#[test]
fn link_002_either_side_takes_a_link_back() {
    everywhere(|rt| async move {
        let ((p, p_events), (q, q_events)) = (trapper(&rt).await, trapper(&rt).await);
        link(&p, &q).await;
        unlink(&q, &p).await;
        settled(&p).await;
        end(&rt, &q, because("x")).await;
        p_events.quiet(&rt).await;
        // And from the other end.
        let (q, _) = trapper(&rt).await;
        link(&p, &q).await;
        unlink(&q, &p).await;
        settled(&p).await;
        end(&rt, &p, because("x")).await;
        q_events.quiet(&rt).await;
    });
}

#[test]
fn link_003_an_end_is_told_once() {
    everywhere(|rt| async move {
        let ((p, _), (q, events)) = (trapper(&rt).await, trapper(&rt).await);
        link(&p, &q).await;
        settled(&q).await;
        end(&rt, &p, because("died")).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(p.pid()));
        assert_because(&exit.reason, "died");
        events.quiet(&rt).await;
    });
}

#[test]
fn link_004_an_abnormal_end_takes_the_linked_with_it() {
    everywhere(|rt| async move {
        let (q, r) = (plain(&rt).await, plain(&rt).await);
        link(&q, &r).await;
        let down = rt.down(&r);
        end(&rt, &q, because("died")).await;
        assert_because(&down.await.reason, "died");
    });
}

#[test]
fn link_005_a_link_to_oneself_is_none() {
    everywhere(|rt| async move {
        let (p, events) = trapper(&rt).await;
        link(&p, &p).await;
        unlink(&p, &p).await;
        link(&p, &p).await;
        events.quiet(&rt).await;
        end(&rt, &p, because("x")).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn link_006_one_unlink_removes_the_one_link() {
    everywhere(|rt| async move {
        let ((p, p_events), (q, _)) = (trapper(&rt).await, trapper(&rt).await);
        for _ in 0..3 {
            link(&p, &q).await;
            link(&q, &p).await;
        }
        settled(&p).await;
        unlink(&q, &p).await;
        settled(&p).await;
        end(&rt, &q, because("x")).await;
        p_events.quiet(&rt).await;
    });
}

#[test]
fn link_007_three_links_are_one() {
    everywhere(|rt| async move {
        let ((p, events), (q, _)) = (trapper(&rt).await, trapper(&rt).await);
        for _ in 0..3 {
            link(&p, &q).await;
        }
        end(&rt, &q, because("x")).await;
        assert_eq!(events.exit().await.from, Some(q.pid()));
        events.quiet(&rt).await;
    });
}

#[test]
fn link_008_a_link_to_nobody_is_an_exit_of_noproc() {
    everywhere(|rt| async move {
        let (p, events) = trapper(&rt).await;
        let q = plain(&rt).await;
        end(&rt, &q, ExitReason::Normal).await;
        // With its cell, which the address keeps, and without.
        link(&p, &q).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(q.pid()));
        assert_reason(&exit.reason, &ExitReason::NoProc);
        let pid = q.pid();
        drop(q);
        ask(&p, move |cx| cx.link(pid)).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(pid));
        assert_reason(&exit.reason, &ExitReason::NoProc);
        settled(&p).await;
        assert!(events.take().is_empty());
        // Who does not trap ends.
        let r = plain(&rt).await;
        let down = rt.down(&r);
        ask(&r, move |cx| cx.link(pid)).await;
        assert_reason(&down.await.reason, &ExitReason::NoProc);
    });
}

/// After `unlink` what is not in the mailbox never comes.
#[test]
fn link_009_after_an_unlink_no_exit_comes() {
    everywhere(|rt| async move {
        let (p, events) = trapper(&rt).await;
        let sender = plain(&rt).await;
        for _ in 0..scaled(1000, 20) / 20 {
            let q = plain(&rt).await;
            link(&p, &q).await;
            let (to, told) = (q.clone(), events.clone());
            let signalled = q.clone();
            ask(&sender, move |cx| cx.exit(&signalled, because("x"))).await;
            p.cast(now(move |cx| {
                cx.unlink(&to);
                // Behind whatever EXIT is in the mailbox already.
                cx.me().cast(note(&told, 0))?;
                Ok(())
            }))
            .expect("cast");
            loop {
                match events.next().await {
                    Event::Exit(exit) => assert_eq!(exit.from, Some(q.pid())),
                    Event::Note(0) => break,
                    other => panic!("{other:?}"),
                }
            }
            // Its EXIT would be there when its DOWN is.
            let _ = rt.down(&q).await;
            settled(&p).await;
            assert!(events.take().is_empty());
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn link_010_an_unlinked_process_lives_on() {
    everywhere(|rt| async move {
        let (p, q) = (plain(&rt).await, plain(&rt).await);
        link(&p, &q).await;
        unlink(&p, &q).await;
        end(&rt, &q, because("x")).await;
        settled(&p).await;
        // Linked anew, it is linked.
        let r = plain(&rt).await;
        link(&p, &r).await;
        unlink(&p, &r).await;
        link(&p, &r).await;
        let down = rt.down(&p);
        end(&rt, &r, because("y")).await;
        assert_because(&down.await.reason, "y");
    });
}

/// What each end holds of the link is seen by what it does when the other ends, and by a link made anew.
#[test]
fn link_011_racing_links_and_unlinks_leave_both_ends_agreeing() {
    everywhere(|rt| async move {
        let rounds = scaled(10_000, 40) / if rt.workers() == 4 { 20 } else { 200 };
        for round in 0..rounds {
            let ((a, a_events), (b, b_events)) = (trapper(&rt).await, trapper(&rt).await);
            let (to_a, to_b) = (a.clone(), b.clone());
            a.cast(now(move |cx| {
                cx.link(&to_b);
                Ok(())
            }))
            .expect("cast");
            b.cast(now(move |cx| {
                cx.link(&to_a);
                cx.unlink(&to_a);
                Ok(())
            }))
            .expect("cast");
            // Each has handled its message, then what the other sent by it, then the answers to that.
            for _ in 0..3 {
                settled(&a).await;
                settled(&b).await;
            }
            let (ends, lives, events) =
                if round % 2 == 0 { (&a, &b, &b_events) } else { (&b, &a, &a_events) };
            match round % 4 {
                // Whether they are linked or not, a link made now holds.
                0 | 1 => {
                    link(lives, ends).await;
                    end(&rt, ends, because("x")).await;
                    let exit = events.exit().await;
                    assert_eq!(exit.from, Some(ends.pid()));
                    assert_because(&exit.reason, "x");
                }
                // And one that is made from the other side.
                _ => {
                    link(ends, lives).await;
                    settled(lives).await;
                    end(&rt, ends, because("x")).await;
                    assert_because(&events.exit().await.reason, "x");
                }
            }
            settled(lives).await;
            assert!(events.take().is_empty(), "told twice");
            rt.exit(lives, ExitReason::Kill);
        }
    });
}

#[test]
fn link_012_a_link_to_one_that_is_ending_says_noproc_or_its_reason() {
    everywhere(|rt| async move {
        for _ in 0..scaled(1000, 20) / 20 {
            let ((a, events), (b, _)) = (trapper(&rt).await, trapper(&rt).await);
            link(&a, &b).await;
            let (to_a, to_b) = (a.clone(), b.clone());
            b.cast(now(move |cx| {
                cx.unlink(&to_a);
                to_a.cast(now(move |cx| {
                    cx.link(&to_b);
                    Ok(())
                }))?;
                cx.stop(because("bye"));
                Ok(())
            }))
            .expect("cast");
            let exit = events.exit().await;
            assert_eq!(exit.from, Some(b.pid()));
            match exit.reason {
                ExitReason::NoProc => {}
                reason => assert_because(&reason, "bye"),
            }
            settled(&a).await;
            assert!(events.take().is_empty(), "told twice");
            rt.exit(&a, ExitReason::Kill);
        }
    });
}

#[test]
fn link_017_a_normal_end_harms_nobody() {
    everywhere(|rt| async move {
        let (p, q) = (plain(&rt).await, plain(&rt).await);
        link(&p, &q).await;
        end(&rt, &q, ExitReason::Normal).await;
        settled(&p).await;
    });
}

#[test]
fn link_018_a_normal_end_is_told_to_who_traps() {
    everywhere(|rt| async move {
        let ((p, events), q) = (trapper(&rt).await, plain(&rt).await);
        link(&p, &q).await;
        end(&rt, &q, ExitReason::Normal).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(q.pid()));
        assert_reason(&exit.reason, &ExitReason::Normal);
    });
}

#[test]
fn link_019_only_normal_is_harmless() {
    everywhere(|rt| async move {
        for reason in [ExitReason::Shutdown, ExitReason::shutdown_with(1)] {
            let (p, q) = (plain(&rt).await, plain(&rt).await);
            link(&p, &q).await;
            let down = rt.down(&p);
            end(&rt, &q, reason.clone()).await;
            assert_reason(&down.await.reason, &reason);
        }
    });
}

#[test]
fn link_020_kill_over_a_link_can_be_trapped() {
    everywhere(|rt| async move {
        let ((p, events), q) = (trapper(&rt).await, plain(&rt).await);
        link(&q, &p).await;
        settled(&p).await;
        end(&rt, &q, ExitReason::Kill).await;
        assert_reason(&events.exit().await.reason, &ExitReason::Kill);
        settled(&p).await;
    });
}

#[test]
fn link_021_a_kill_travels_on_as_killed() {
    everywhere(|rt| async move {
        let (t, events) = trapper(&rt).await;
        let (p, q, r) = (plain(&rt).await, plain(&rt).await, plain(&rt).await);
        link(&r, &q).await;
        link(&q, &p).await;
        link(&t, &r).await;
        settled(&r).await;
        rt.exit(&p, ExitReason::Kill);
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(r.pid()));
        assert_reason(&exit.reason, &ExitReason::Killed);
    });
}

/// The child has not run when its parent ends.
#[test]
fn link_022_a_spawn_and_its_link_are_one() {
    everywhere(|rt| async move {
        for _ in 0..scaled(200, 10) / 10 {
            let (parent, events) = (plain(&rt).await, Events::new());
            let told = events.clone();
            let answer = parent.call(move |reply| {
                now(move |cx| {
                    let told = told.clone();
                    reply.send(cx.spawn_link::<Plain>(Script::new().init_now(move |_| {
                        told.send(Event::Note(1));
                        Ok(())
                    })));
                    Err(because("gone"))
                })
            });
            let child = answer.await.expect("the reply was sent before the end");
            let reason = rt.down(&child).await.reason;
            match reason {
                ExitReason::NoProc => {}
                reason => assert_because(&reason, "gone"),
            }
        }
        assert!(rt.processes().is_empty());
    });
}

#[test]
fn link_023_a_wave_over_ten_thousand_links() {
    let links = scaled(10_000, 500);
    threaded(|rt| async move {
        let p = plain(&rt).await;
        let (linked, all): (Vec<_>, Vec<_>) = ask(&p, move |cx| {
            let runtime = cx.runtime();
            (0..links)
                .map(|_| {
                    let child = cx.spawn_link::<Plain>(Script::new());
                    let down = runtime.down(&child);
                    (child, down)
                })
                .unzip()
        })
        .await;
        let begun = support::now(&rt);
        end(&rt, &p, because("boom")).await;
        for down in join_all(all).await {
            assert_because(&down.reason, "boom");
        }
        let took = Duration::from_nanos(support::now(&rt) - begun);
        assert!(took < Duration::from_secs(5), "{took:?}");
        drop(linked);
    });
}

/// Killed while its `init` is suspended, a linked child's starter hears of it once.
#[test]
fn a_linked_child_that_is_killed_in_its_init_is_told_once() {
    everywhere(|rt| async move {
        let (t, events) = trapper(&rt).await;
        let script = Script::new().init(|_| std::future::pending().boxed());
        let child = ask(&t, |cx| cx.spawn_link::<Plain>(script)).await;
        rt.exit(&child, ExitReason::Kill);
        let Exit { from, reason, .. } = events.exit().await;
        assert_eq!(from, Some(child.pid()));
        assert_reason(&reason, &ExitReason::Killed);
        events.quiet(&rt).await;
    });
}

/// A ring of links of processes that trap: when all are told to go at once, each hears of its neighbour
/// at most once, and nothing is left.
#[test]
fn a_ring_of_links_ends_whole() {
    everywhere(|rt| async move {
        let mut ring = Vec::new();
        for _ in 0..20 {
            ring.push(trapper(&rt).await);
        }
        for n in 0..20 {
            link(&ring[n].0, &ring[(n + 1) % 20].0).await;
        }
        let ends: Vec<_> = ring.iter().map(|(puppet, _)| rt.down(puppet)).collect();
        for (puppet, _) in &ring {
            let told = puppet.cast(now(|_| Err(because("go"))));
            assert!(told.is_ok());
        }
        for down in ends {
            assert_because(&down.await.reason, "go");
        }
        for (_, events) in &ring {
            let told = events.take();
            assert!(told.len() <= 2, "{told:?}");
        }
    });
}

/// Unlinked and told so by the one that goes on trapping.
#[test]
fn trapping_late_counts_from_then_on() {
    everywhere(|rt| async move {
        let (p, q, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        link(&p, &q).await;
        let told = events.clone();
        ask(&p, move |cx| trap(cx, &told)).await;
        end(&rt, &q, because("x")).await;
        assert_because(&events.exit().await.reason, "x");
        settled(&p).await;
    });
}
