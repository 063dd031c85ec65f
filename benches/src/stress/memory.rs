//! Whether all memory came back.
//!
//! Exact: blocks and bytes that were asked for and not freed are the same after a round as before it. What makes
//! them differ without a leak is put out of the way:
//!
//! - What a process keeps for good is made before the first look: by a round of each kind, and by
//!   [`warm_up`] for the table of threads that wait for locks (`parking_lot`), which grows with the most threads
//!   that ever waited, and keeps its old versions.
//! - What a thread keeps for itself goes with it: each round has a thread of its own.
//! - What is freed later is waited for. Memory that a queue's readers may still look at is freed by whoever uses
//!   the collector (`crossbeam-epoch`) next: [`all_back`] does. Threads that nobody joins (the watch of a shutdown)
//!   take a moment to end.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::stress::allocator::{Held, held};

/// Threads that may wait for locks at the same time, workers not counted.
const THREADS: usize = 64;
/// How long what is freed later has time.
pub(crate) const MOST: Duration = Duration::from_secs(20);
/// Steps of the collector between two looks.
const STEPS: usize = 32;

/// Makes what the process keeps for good whatever it does. `workers`: of each runtime.
pub(crate) fn warm_up(workers: usize) {
    // All wait at once, so that each is known to the table. Joined one by one: how a scope of threads ends is
    // nothing that a sanitizer sees.
    let all = THREADS + workers;
    let place = Arc::new((Mutex::new(0), Condvar::new()));
    let wait = |place: Arc<(Mutex<usize>, Condvar)>| {
        move || {
            let (waiting, changed) = &*place;
            let mut count = waiting.lock();
            *count += 1;
            changed.notify_all();
            changed.wait_while(&mut count, |count| *count < all);
        }
    };
    let threads: Vec<_> = (0..all).map(|_| thread::spawn(wait(place.clone()))).collect();
    for thread in threads {
        // None panics.
        let _ = thread.join();
    }
}

/// Lets the collector free what nobody looks at any more.
fn collect() {
    for _ in 0..STEPS {
        crossbeam_epoch::pin().flush();
    }
}

/// What is held once it has stopped to fall.
pub(crate) fn at_rest() -> Held {
    let mut before = held();
    let mut same = 0;
    let deadline = Instant::now() + MOST;
    while same < 20 && Instant::now() < deadline {
        collect();
        thread::sleep(Duration::from_millis(5));
        let now = held();
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// Waits until no more and no less is held than `before`, for at most `most`. An error says how much more it is.
pub(crate) fn all_back(before: Held, most: Duration) -> Result<(), String> {
    let deadline = Instant::now() + most;
    loop {
        collect();
        let now = held();
        if now == before {
            return Ok(());
        }
        if Instant::now() > deadline {
            let (blocks, bytes) = (now.blocks - before.blocks, now.bytes - before.bytes);
            return Err(format!("memory: {blocks} blocks and {bytes} bytes more than before"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use whitebeam::{Actor, Context, ExitReason, Pid, Reply, Runtime};

    use super::*;

    /// Watches whom it is told to.
    struct Idle;

    impl Actor for Idle {
        type Args = ();
        type Msg = Option<(Pid, Reply<()>)>;

        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Idle)
        }

        async fn handle(
            &mut self,
            msg: Self::Msg,
            cx: &mut Context<Self>,
        ) -> Result<(), ExitReason> {
            if let Some((pid, reply)) = msg {
                cx.monitor(pid, |_| None);
                reply.send(());
            }
            Ok(())
        }
    }

    #[test]
    fn an_actor_without_links_and_monitors_has_no_memory_for_any() {
        const MANY: i64 = 20_000;
        crate::stress::allocator::count_from_now_on();
        let rt = Runtime::builder().workers(1).build().expect("a thread");
        rt.block_on(async {
            let watched = rt.start::<Idle>(()).await.expect("a process");
            let mut all = Vec::new();
            let before = held().blocks;
            for _ in 0..MANY {
                all.push(rt.start::<Idle>(()).await.expect("a process"));
            }
            // Cells are the runtime's own memory. Other tests run at the same time: hence not 0.
            let without = held().blocks - before;
            assert!(without < MANY / 4, "{without} blocks for {MANY} actors");
            for idle in &all {
                let told = idle.call(|reply| Some((watched.pid(), reply)));
                told.await.expect("it lives");
            }
            let with = held().blocks - before;
            assert!(with > MANY, "{with} blocks for {MANY} actors with a monitor each");
        });
    }

    #[test]
    fn a_byte_that_is_kept_is_found() {
        crate::stress::allocator::count_from_now_on();
        // Other tests allocate at the same time: of what is looked at, nobody else has as much.
        let much = 1 << 40;
        let before = Held { blocks: 0, bytes: held().bytes - much };
        let left = all_back(before, Duration::ZERO).expect_err("much is kept");
        assert!(left.starts_with("memory: ") && left.ends_with("more than before"), "{left}");
    }
}
