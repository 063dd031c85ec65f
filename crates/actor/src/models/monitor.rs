//! A monitor against the end of its target: exactly one DOWN, with the reason or `NoProc`; none when it was
//! taken back in time.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use parking_lot::Mutex;

use super::{Msg, Saw, Seen, broken, is_broken, model, now, saw};
use crate::{ActorRef, Down, DownFuture, ExitReason, MonitorRef, Pid};

fn is_legal(down: &Down, target: Pid) -> bool {
    down.pid == target && (is_broken(&down.reason) || matches!(down.reason, ExitReason::NoProc))
}

/// Panics unless exactly one DOWN of `target` was seen, and nothing else.
fn assert_one_down(saw: &Saw, target: Pid) {
    match &saw.lock()[..] {
        [Seen::Down(down)] => assert!(is_legal(down, target), "{down:?}"),
        seen => panic!("not exactly one DOWN: {seen:?}"),
    }
}

/// Watches `target`, which counts as dead when its DOWN comes.
fn watch(target: &ActorRef<Msg>, keep: impl FnOnce(MonitorRef) + Send + 'static) -> Msg {
    let (pid, dead) = (target.pid(), target.clone());
    now(move |cx| {
        keep(cx.monitor(pid, move |down| {
            assert!(!dead.is_alive(), "told of before it was over");
            Msg::See(Seen::Down(down))
        }));
    })
}

#[test]
fn a_monitor_against_the_end_has_exactly_one_down() {
    model(3, |world| {
        let saw = saw();
        let (one, other) = (world.spawn(&saw), world.spawn(&Saw::default()));
        let target = other.pid();
        let watches = watch(&other, drop);
        world.race_messages((&one, watches), (&other, Msg::Stop(broken())));
        assert_one_down(&saw, target);
        world.end(&[&one]);
    });
}

/// Taken back in time, its DOWN never comes; else it comes once, or is taken out of the mailbox.
fn taken_back(flush: bool) {
    model(2, move |world| {
        let saw = saw();
        let (one, other) = (world.spawn(&saw), world.spawn(&Saw::default()));
        let target = other.pid();
        let monitor: Arc<Mutex<Option<MonitorRef>>> = Arc::default();
        let set = monitor.clone();
        world.tell(&one, watch(&other, move |monitor| *set.lock() = Some(monitor)));
        let was_active: Arc<Mutex<Option<bool>>> = Arc::default();
        let tell = was_active.clone();
        let takes_back = now(move |cx| {
            let monitor = monitor.lock().take().unwrap();
            let active = if flush { cx.demonitor_flush(monitor) } else { cx.demonitor(monitor) };
            *tell.lock() = Some(active);
        });
        world.race_messages((&one, takes_back), (&other, Msg::Stop(broken())));
        let was_active = was_active.lock().take().unwrap();
        if was_active || flush {
            assert!(saw.lock().is_empty(), "a DOWN after the monitor was taken back");
        } else {
            assert_one_down(&saw, target);
        }
        world.end(&[&one]);
    });
}

#[test]
fn a_demonitor_against_the_end_says_whether_the_down_comes() {
    taken_back(false);
}

#[test]
fn nothing_comes_after_a_flush() {
    taken_back(true);
}

#[test]
fn a_watcher_and_its_target_that_end_at_once_leave_nothing() {
    model(3, |world| {
        let (one, other) = (world.spawn(&Saw::default()), world.spawn(&Saw::default()));
        world.tell(&one, watch(&other, drop));
        world.race_messages((&one, Msg::Stop(broken())), (&other, Msg::Stop(broken())));
        assert!(!one.is_alive() && !other.is_alive());
    });
}

#[test]
fn a_future_outside_is_told_once() {
    model(3, |world| {
        let other = world.spawn(&Saw::default());
        let target = other.pid();
        let ends = world.cast(&other, Msg::Stop(broken()));
        let down: Arc<Mutex<Option<DownFuture>>> = Arc::default();
        let keep = down.clone();
        world.race(
            move |world| *keep.lock() = Some(DownFuture::new(&world.shared, target)),
            move |world| world.model.run(ends),
        );
        let mut down = pin!(down.lock().take().unwrap());
        let mut cx = TaskContext::from_waker(Waker::noop());
        match down.as_mut().poll(&mut cx) {
            Poll::Ready(down) => assert!(is_legal(&down, target), "{down:?}"),
            Poll::Pending => panic!("the process has ended"),
        }
    });
}
