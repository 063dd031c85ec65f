//! The stop of all children of a supervisor at once, each in its own way.

use whitebeam_actor::{Actor, ChildKey, Context, Stop};

use crate::Shutdown;

/// Tells all children at once, and waits until the last has ended. Those with equal shutdown times have one timer.
/// `children` may leave out those that have no process.
pub(crate) async fn stop_all<A: Actor>(
    children: impl IntoIterator<Item = (ChildKey, Shutdown)>,
    cx: &mut Context<A>,
) {
    let ways: Vec<(ChildKey, Stop)> =
        children.into_iter().map(|(key, shutdown)| (key, shutdown.into())).collect();
    let Some((_, first)) = ways.first().copied() else { return };
    // As a rule they are all the same.
    let others = ways.into_iter().filter(|(_, how)| *how != first);
    let _ = cx.stop_children(first).except(others).await;
}
