//! The stop of all children of a supervisor at once, each in its own way.

use std::{collections::BTreeMap, time::Duration};

use whitebeam_actor::{Actor, Context, ExitReason, Pid, PlainTask, Stop};

use crate::Shutdown;

/// Tells all children at once, and waits until the last has ended. Those with equal shutdown times have one timer; if
/// all have the same, as a rule, the runtime's own. `children` may leave out those that have no process.
pub(crate) async fn stop_all<A: Actor>(children: Vec<(Pid, Shutdown)>, cx: &mut Context<A>) {
    let Some(((_, first), rest)) = children.split_first() else {
        let _ = cx.stop_children(Stop::Infinity).await;
        return;
    };
    if rest.iter().all(|(_, shutdown)| shutdown == first) {
        let _ = cx.stop_children((*first).into()).await;
    } else {
        // The timers kill, until they are dropped.
        let _timers = tell(&children, cx);
        let _ = cx.stop_children(Stop::Infinity).await;
    }
}

/// Tells each child to end in its own way.
fn tell<A: Actor>(children: &[(Pid, Shutdown)], cx: &mut Context<A>) -> Vec<PlainTask<()>> {
    let mut groups: BTreeMap<Duration, Vec<Pid>> = BTreeMap::new();
    for (pid, shutdown) in children {
        cx.exit(*pid, shutdown.signal());
        if let Some(time) = shutdown.limit() {
            groups.entry(time).or_default().push(*pid);
        }
    }
    let rt = cx.runtime();
    let kill = |(time, group): (Duration, Vec<Pid>)| {
        let handle = rt.clone();
        rt.spawn_task(async move {
            handle.sleep(time).await;
            for pid in group {
                handle.exit(pid, ExitReason::Kill);
            }
        })
    };
    groups.into_iter().map(kill).collect()
}
