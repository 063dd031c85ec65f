//! Makes a failure of what hangs: a thread that ends the process with a text when a step takes too long.

use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use whitebeam::Handle;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// Processes that it names.
const NAMED: usize = 24;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchdog(Arc<Mutex<Step>>);

#[derive(Debug, Default)]
struct Step {
    what: &'static str,
    over_at: Option<Instant>,
    rt: Option<Handle>,
}

impl Watchdog {
    /// Starts it. It runs as long as the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(told: String) -> std::io::Result<Watchdog> {
        let watchdog = Watchdog::default();
        let step = watchdog.0.clone();
        thread::Builder::new().name("stress-watchdog".into()).spawn(move || {
            loop {
                thread::sleep(LOOK);
                let step = step.lock();
                if step.over_at.is_some_and(|over_at| Instant::now() > over_at) {
                    give_up(&told, &step);
                }
            }
        })?;
        Ok(watchdog)
    }

    /// From now on `what` is done, and may take `most`.
    pub(crate) fn step(&self, what: &'static str, most: Duration) {
        let mut step = self.0.lock();
        (step.what, step.over_at) = (what, Some(Instant::now() + most));
    }

    /// Of this runtime the processes are named. None: of none.
    pub(crate) fn look_at(&self, rt: Option<Handle>) {
        let before = std::mem::replace(&mut self.0.lock().rt, rt);
        drop(before);
    }
}

fn give_up(told: &str, step: &Step) -> ! {
    eprintln!("error: stress ({told}): it hangs: {} takes too long", step.what);
    if let Some(rt) = &step.rt {
        let processes = rt.processes();
        eprintln!("{} processes are left; the first:", processes.len());
        processes.iter().take(NAMED).for_each(|info| eprintln!("  {info:?}"));
        rt.metrics().iter().for_each(|worker| eprintln!("  {worker:?}"));
    }
    process::exit(1);
}
