//! What the tests run: a counted target, scheduled exactly while it has messages, as an actor is.

#![expect(unsafe_code, reason = "makes runnables of its own")]

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use whitebeam_scheduler::{Handle, Ran, RunHeader, RunVt, Runnable, Turn};
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, thread};

/// How long any test waits for anything before it fails. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

type Handler = Box<dyn Fn(&Target, &mut Turn<'_>) + Send + Sync>;

/// A mailbox that only counts. Leaked: tests are short, and nothing then depends on who drops last.
#[repr(C)]
pub(crate) struct Target {
    header: RunHeader,
    handle: Handle,
    /// Messages sent and not yet handled; scheduled or running while it is not zero.
    pending: AtomicU64,
    handled: AtomicU64,
    /// Handled, and not yet taken off `pending`: by a run that left it quiet.
    unsettled: AtomicU64,
    /// How often it was told that it will not be run.
    dropped: AtomicU64,
    handler: Handler,
}

static VT: RunVt = RunVt { run, settle, dropped };

impl Target {
    pub(crate) fn new(
        handle: &Handle,
        handler: impl Fn(&Target, &mut Turn<'_>) + Send + Sync + 'static,
    ) -> &'static Self {
        Box::leak(Box::new(Target {
            header: RunHeader { vt: &VT },
            handle: handle.clone(),
            pending: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            unsettled: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            handler: Box::new(handler),
        }))
    }

    /// One message more; schedules when it was idle.
    pub(crate) fn send(&'static self) {
        if let Some(runnable) = self.add(1) {
            self.handle.schedule(runnable);
        }
    }

    pub(crate) fn send_back(&'static self) {
        if let Some(runnable) = self.add(1) {
            self.handle.schedule_back(runnable);
        }
    }

    /// So many messages more; the runnable, when the caller is to schedule it.
    pub(crate) fn add(&'static self, messages: u64) -> Option<Runnable> {
        if self.pending.fetch_add(messages, Ordering::AcqRel) != 0 {
            return None;
        }
        // SAFETY: leaked; and scheduled once, by whoever makes `pending` leave zero.
        Some(unsafe { Runnable::from_header(NonNull::from(&self.header)) })
    }

    /// From its own handler: one message more, for later.
    pub(crate) fn again(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Acquire)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

unsafe fn run(header: NonNull<RunHeader>, turn: &mut Turn<'_>) -> Ran {
    // SAFETY: the header is the first field of a leaked target.
    let target: &'static Target = unsafe { header.cast::<Target>().as_ref() };
    let mut done = target.unsettled.swap(0, Ordering::Relaxed);
    if done == target.pending.load(Ordering::Acquire) {
        target.unsettled.store(done, Ordering::Relaxed);
        return Ran::Quiet;
    }
    loop {
        // Counted before the handler: after a panic the target stays as if it had handled it.
        target.handled.fetch_add(1, Ordering::AcqRel);
        (target.handler)(target, turn);
        done += 1;
        let is_over = turn.tick();
        let is_all = done == target.pending.load(Ordering::Acquire);
        if is_all || is_over {
            // What came meanwhile keeps it scheduled.
            target.unsettled.store(done, Ordering::Relaxed);
            return if is_all { Ran::Quiet } else { Ran::Again };
        }
    }
}

unsafe fn dropped(header: NonNull<RunHeader>) {
    // SAFETY: the header is the first field of a leaked target.
    let target: &'static Target = unsafe { header.cast::<Target>().as_ref() };
    target.dropped.fetch_add(1, Ordering::AcqRel);
}

unsafe fn settle(header: NonNull<RunHeader>) -> bool {
    // SAFETY: the header is the first field of a leaked target.
    let target: &'static Target = unsafe { header.cast::<Target>().as_ref() };
    let done = target.unsettled.swap(0, Ordering::Relaxed);
    let is_idle =
        target.pending.compare_exchange(done, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if !is_idle {
        target.unsettled.store(done, Ordering::Relaxed);
    }
    is_idle
}

/// Waits until `is_so`; fails with `what` when it takes too long.
pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::yield_now();
    }
}

/// As [`wait_for`], for a handler: it holds its worker meanwhile. Gives up with `false`.
pub(crate) fn hold_until(is_so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Burns the processor.
pub(crate) fn burn(duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// A counter that handlers can own.
pub(crate) fn counter() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}
