//! What children tell the test, and what the test lets them wait for.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use parking_lot::Mutex;

/// What happened to a child, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its start was asked for.
    Asked(u64),
    /// Its `init` runs, in its start of this number.
    Init(u64, u32),
    /// Its `init` is done.
    Started(u64),
    /// It waits in a handler.
    Waiting(u64),
    /// Its `terminate` runs.
    Terminate(u64),
    /// Its state was dropped.
    Dropped(u64),
}

/// A list of events that can be waited on.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<(Vec<Event>, Vec<Waker>)>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn note(&self, event: Event) {
        let wakers = {
            let mut inner = self.0.lock();
            inner.0.push(event);
            std::mem::take(&mut inner.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().0.clone()
    }

    /// How many events are so.
    pub(crate) fn count(&self, is_so: impl Fn(Event) -> bool) -> usize {
        self.0.lock().0.iter().filter(|event| is_so(**event)).count()
    }

    pub(crate) fn has(&self, event: Event) -> bool {
        self.count(|other| other == event) > 0
    }

    /// Waits until so many events are so.
    pub(crate) async fn wait(&self, count: usize, is_so: impl Fn(Event) -> bool) {
        poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.0.iter().filter(|event| is_so(**event)).count() >= count {
                return Poll::Ready(());
            }
            inner.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for this one.
    pub(crate) async fn wait_for(&self, event: Event) {
        self.wait(1, |other| other == event).await;
    }
}

/// Closed until it is opened, once and for all.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        let wakers = {
            let mut inner = self.0.lock();
            inner.0 = true;
            std::mem::take(&mut inner.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().0
    }

    pub(crate) async fn passed(self) {
        poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.0 {
                return Poll::Ready(());
            }
            inner.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
