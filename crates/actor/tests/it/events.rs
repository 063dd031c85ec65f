//! What a runtime tells of itself: the hook of events.

use crate::support;

use std::sync::Arc;

use parking_lot::Mutex;
use support::{
    built,
    puppet::{Script, because},
};
use whitebeam_actor::{Builder, Handle, Pid, Runtime, RuntimeEvent};

type Plain = support::puppet::Puppet<false>;

#[test]
fn events_reach_the_hook_and_its_panics_go_no_further() {
    let seen = Arc::new(Mutex::new(Vec::<Pid>::new()));
    let told = seen.clone();
    let set = move |builder: Builder| {
        let seen = seen.clone();
        builder.quiet_crashes().on_event(move |event| {
            let RuntimeEvent::Crashed(report) = event else { return };
            let mut seen = seen.lock();
            seen.push(report.pid);
            if seen.len() == 2 {
                panic!("{}", support::EXPECTED)
            }
        })
    };
    built(set, async |rt| {
        told.lock().clear();
        let mut pids = Vec::new();
        for n in 1..=3 {
            let crashes = rt.spawn::<Plain>(Script::new().init_now(|_| Err(because("failed"))));
            pids.push(crashes.pid());
            rt.down(&crashes).await;
            // Behind the DOWN: the next one's event is told by the same or another worker.
            while rt.event_counts().told < n {
                support::yield_now().await;
            }
        }
        while rt.event_counts().panics < 1 {
            support::yield_now().await;
        }
        let mut seen = told.lock().clone();
        seen.sort();
        pids.sort();
        assert_eq!(seen, pids);
    });
}

#[test]
fn a_hook_of_events_is_dropped_with_its_runtime() {
    let held = Arc::new(());
    for simulated in [true, false] {
        let token = held.clone();
        let cycle = Arc::new(Mutex::new(None::<Handle>));
        let kept = cycle.clone();
        let builder = Runtime::builder().on_event(move |_| _ = (&token, &kept));
        let rt = if simulated { builder.build_simulated(1) } else { builder.workers(1).build() };
        let rt = rt.expect("a runtime");
        *cycle.lock() = Some(rt.handle());
        assert_eq!(Arc::strong_count(&held), 2);
        drop(rt);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
