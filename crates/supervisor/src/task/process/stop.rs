//! The end of all tasks at once, each in its own way.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Context as TaskContext,
    time::Duration,
};

use whitebeam_actor::{Context, ExitReason, Handle, Pid, Sleep, Stop};

use super::Tasks;
use crate::Shutdown;

/// Stops these, which are all children. Ready when the last has ended.
pub(super) async fn stop_all(ways: &[(Pid, Shutdown)], cx: &mut Context<Tasks>) {
    let Some(longest) = ways.iter().map(|(_, shutdown)| *shutdown).max_by_key(patience) else {
        return;
    };
    kill_brutally(ways, cx).await;
    // One time for those that have the longest, which is nearly all.
    let mut late = Late::of(ways, longest, &cx.runtime());
    let mut stop = pin!(cx.stop_children(longest.into()));
    poll_fn(|cx| {
        late.poll(cx);
        stop.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Orders ways to stop by the time that they give.
fn patience(shutdown: &Shutdown) -> (u8, Duration) {
    match shutdown {
        Shutdown::BrutalKill => (0, Duration::ZERO),
        Shutdown::After(time) => (1, *time),
        Shutdown::Infinity => (2, Duration::ZERO),
    }
}

/// Kills those that are to be killed, and waits for them: what all are told overtakes what a child has not read.
async fn kill_brutally(ways: &[(Pid, Shutdown)], cx: &mut Context<Tasks>) {
    let brutal = || ways.iter().filter(|(_, shutdown)| *shutdown == Shutdown::BrutalKill);
    // All first: they end at once, not one after another.
    for (pid, _) in brutal() {
        cx.exit(pid, ExitReason::Kill);
    }
    for (pid, _) in brutal() {
        if let Some(key) = cx.child_key(*pid) {
            let _ = cx.stop_child(key, Stop::Kill).await;
        }
    }
}

/// Those that have less time to shut down than others: one timer for each time. Not by processes of their own, which a
/// runtime that shuts down has none of.
struct Late {
    rt: Handle,
    by_time: Vec<(Sleep, Vec<Pid>)>,
}

impl Late {
    fn of(ways: &[(Pid, Shutdown)], longest: Shutdown, rt: &Handle) -> Self {
        let mut by_time: BTreeMap<Duration, Vec<Pid>> = BTreeMap::new();
        for (pid, shutdown) in ways.iter().filter(|(_, shutdown)| *shutdown != longest) {
            if let Shutdown::After(time) = shutdown {
                by_time.entry(*time).or_default().push(*pid);
            }
        }
        let by_time = by_time.into_iter().map(|(time, pids)| (rt.sleep(time), pids)).collect();
        Late { rt: rt.clone(), by_time }
    }

    /// Kills those whose time is over.
    fn poll(&mut self, cx: &mut TaskContext<'_>) {
        let rt = &self.rt;
        self.by_time.retain_mut(|(time, pids)| {
            let is_over = Pin::new(time).poll(cx).is_ready();
            if is_over {
                pids.iter().for_each(|pid| rt.exit(pid, ExitReason::Kill));
            }
            !is_over
        });
    }
}
