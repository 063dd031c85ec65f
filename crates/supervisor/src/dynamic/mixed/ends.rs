//! Outcomes of starts, ends of children, and their restarts.

use std::mem;

use whitebeam_actor::{ChildDown, ChildKey, Context, ExitReason, StartError, StartInfo};

use super::{AnyRequest, Early, Entry, Kept, Mixed, Outcome, Phase};

impl Mixed {
    /// The outcome of a start.
    pub(super) fn started(
        &mut self,
        run: u64,
        key: Option<ChildKey>,
        outcome: Outcome,
        cx: &mut Context<Self>,
    ) {
        if let Some(Early { mut entry, down, stop }) = self.early.remove(&run) {
            let phase = mem::replace(&mut entry.with.phase, Phase::Started);
            if stop.is_none() {
                match (&outcome, down) {
                    (Ok(()), Some(down)) => self.ended(entry, down, cx),
                    // There is no outcome like that of no process.
                    (Ok(()), None) => drop(entry),
                    (Err(error), _) => self.failed(entry, error, cx),
                }
            }
            self.recount(cx);
            if let Phase::Starting(Some(reply)) = phase {
                reply.send(outcome);
            }
            if let Some(stop) = stop {
                stop.done();
            }
            return;
        }
        let entry = key.and_then(|key| self.children.get_mut(key));
        let Some(Kept { with: held, .. }) = entry.filter(|kept| kept.with.run == run) else {
            return;
        };
        match (mem::replace(&mut held.phase, Phase::Started), outcome) {
            (Phase::Starting(reply), Ok(())) => {
                if let Some(reply) = reply {
                    reply.send(Ok(()));
                }
            }
            (Phase::Starting(reply), Err(error)) => held.phase = Phase::Failed(reply, error),
            (other, _) => held.phase = other,
        }
    }

    pub(super) fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let mut stop = self.stops.end(down.key, cx);
        let mut told = None;
        if let Some(mut entry) = self.children.take(down.key) {
            match mem::replace(&mut entry.with.phase, Phase::Started) {
                phase @ Phase::Starting(_) => {
                    entry.with.phase = phase;
                    let early = Early { entry, down: Some(down), stop: stop.take() };
                    self.early.insert(early.entry.with.run, early);
                }
                Phase::Failed(reply, error) => {
                    if stop.is_none() {
                        self.failed(entry, &error, cx);
                    }
                    told = reply.map(|reply| (reply, error));
                }
                Phase::Started if stop.is_none() => self.ended(entry, down, cx),
                // With its address, which leads to nobody then.
                Phase::Started => drop(entry),
            }
        }
        if cx.child_count() == 0 {
            self.children.clear();
        }
        // When it is counted off: who waits may look at the count.
        self.recount(cx);
        if let Some((reply, error)) = told {
            reply.send(Err(error));
        }
        if let Some(stop) = stop {
            stop.done();
        }
    }

    /// A child that had started has ended by itself.
    fn ended(&mut self, mut entry: Entry, down: ChildDown, cx: &mut Context<Self>) {
        let restart = entry.with.spec.get().map(|spec| spec.restart);
        if restart.is_some_and(|restart| restart.wants(&down.reason)) {
            entry.last = down.pid;
            self.restart(entry, down.reason, cx);
        }
    }

    /// A start has failed, and its process is gone. That of a restart is tried again, however it has failed, unless no
    /// process was wanted.
    fn failed(&mut self, entry: Entry, error: &StartError, cx: &mut Context<Self>) {
        let reason = match error {
            StartError::Ignore => return,
            StartError::Exit(reason) if reason.is_normal() => return,
            StartError::Exit(reason) => reason.clone(),
            error => error.clone().into(),
        };
        if entry.attempt > 1 {
            self.restart(entry, reason, cx);
        }
    }

    fn restart(&mut self, mut entry: Entry, last_exit: ExitReason, cx: &mut Context<Self>) {
        // A runtime that shuts down makes no process any more.
        if cx.is_shutting_down() || !self.restarts.allows_at(|| cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        let Some(spec) = entry.with.spec.get_mut() else { return };
        entry.attempt = entry.attempt.saturating_add(1);
        let mut info = StartInfo::first();
        info.attempt = entry.attempt;
        info.last_exit = Some(last_exit);
        let launched = self.launch(spec, Some(info), cx);
        let run = self.runs;
        (entry.with.run, entry.with.phase) = (run, Phase::Starting(None));
        match launched.key {
            Some(key) => {
                self.children.put(key, entry);
                self.children.note_restart(key, cx);
            }
            // The runtime is shutting down, its process table is full, the name was taken, or the arguments could
            // not be made: the outcome says so.
            None => {
                self.early.insert(run, Early { entry, down: None, stop: None });
            }
        }
        cx.pipe(launched.ready, move |outcome| AnyRequest::Started(run, launched.key, outcome));
    }
}
