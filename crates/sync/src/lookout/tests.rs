//! Tests of the lookout; `loom_lookout` is the model.

#[cfg(loom)]
mod loom_lookout;

#[cfg(not(loom))]
mod steps {
    use super::super::Lookout;
    use crate::shim::Arc;
    use crate::shim::atomic::{AtomicBool, Ordering, fence};
    use crate::shim::thread;

    #[test]
    fn who_looks_does_not_sleep_while_there_is_work() {
        Lookout::new().doze(|| true);
    }

    #[test]
    fn who_dozes_is_woken_by_who_begins() {
        let (lookout, works) = (Arc::new(Lookout::new()), Arc::new(AtomicBool::new(false)));
        let sleeper = thread::spawn({
            let (lookout, works) = (Arc::clone(&lookout), Arc::clone(&works));
            move || lookout.doze(|| works.load(Ordering::Relaxed))
        });
        works.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        lookout.begin();
        sleeper.join().expect("it wakes");
    }

    #[test]
    fn a_call_that_comes_first_is_kept() {
        let lookout = Lookout::new();
        lookout.call();
        lookout.doze(|| false);
    }
}
