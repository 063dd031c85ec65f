//! A plain thread that waits: looks for a while, then sleeps.

use std::{
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use whitebeam_scheduler::Handle;
use whitebeam_sync::shim::{
    hint,
    thread::{self, Thread},
};

/// How long a thread looks before it sleeps. By the W6x workload: an idle runtime answers within two
/// transfers of a cache line; a wake by the kernel costs ten times that.
const SPIN: Duration = Duration::from_micros(5);
/// Looks between two at the clock.
const LOOKS: u32 = 64;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// This thread's waker, made once: a clone is a counter.
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
}

/// Calls `look` until it has something, or `time` is over (`None`: never). `look` registers the waker
/// before it looks.
pub(crate) fn wait<T>(
    scheduler: &Handle,
    time: Option<Duration>,
    mut look: impl FnMut(&Waker) -> Option<T>,
) -> Option<T> {
    WAKER.with(|waker| {
        if let Some(found) = look(waker) {
            return Some(found);
        }
        let start = scheduler.now();
        loop {
            for _ in 0..LOOKS {
                if let Some(found) = look(waker) {
                    return Some(found);
                }
                hint::spin_loop();
            }
            let spent = scheduler.now().saturating_since(start);
            if time.is_some_and(|time| spent >= time) {
                return None;
            }
            if spent >= SPIN {
                match time {
                    Some(time) => thread::park_timeout(time.saturating_sub(spent)),
                    None => thread::park(),
                }
            }
        }
    })
}
