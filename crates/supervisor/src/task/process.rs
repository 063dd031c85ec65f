//! The process behind a task supervisor.
//!
//! # A start
//! Who wants a task takes a place, makes its process ([`Prepared`]) and sends that here: one message to the supervisor,
//! and none back. A place belongs to the task's body, or to what restarts it, and is given back when that is dropped:
//! before the result goes out. So the number of children needs no supervisor to be looked at.
//!
//! # A request that is not handled
//! is dropped with the supervisor, and the process in it ends without having run.

mod stop;

use std::collections::BTreeMap;

use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Handle, Pid, Prepared, Reply, StartError,
    TimerRef,
};

use self::stop::stop_all;
use super::places::Place;
use crate::{ChildError, Intensity, Restart, Shutdown, guard, intensity::History};

/// What a supervisor was built to do.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(super) intensity: Intensity,
}

/// Makes a restarted task's next process.
pub(super) type Make =
    Box<dyn FnMut(&Handle, Pid) -> Result<Prepared, StartError> + Send + 'static>;

/// A task that is restarted.
pub(crate) struct Again {
    pub(super) restart: Restart,
    pub(super) make: Make,
    pub(super) _place: Place,
}

/// What a supervisor is asked.
pub(crate) enum Request {
    Start(Prepared, Shutdown, Option<Again>),
    Children(Reply<Vec<Pid>>),
    Terminate(Pid, Reply<Result<(), ChildError>>),
    /// A child that is being stopped has had its time.
    TimeOver(ChildKey, Pid),
    /// A stranger's exit signal; and what is sent to hear why nothing can be.
    Nothing,
}

/// A task that runs.
struct Record {
    pid: Pid,
    shutdown: Shutdown,
    again: Option<Box<Again>>,
    attempt: u32,
}

/// A child that is being stopped on its own.
struct Stopping {
    waiting: Vec<Reply<Result<(), ChildError>>>,
    timer: Option<TimerRef>,
}

/// The supervisor's state.
pub(crate) struct Tasks {
    /// By [`ChildKey::index`].
    records: Vec<Option<Record>>,
    stopping: BTreeMap<ChildKey, Stopping>,
    restarts: History,
}

impl Actor for Tasks {
    type Args = Plan;
    type Msg = Request;

    async fn init(plan: Plan, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Request::Nothing);
        let restarts = History::new(plan.intensity);
        Ok(Tasks { records: Vec::new(), stopping: BTreeMap::new(), restarts })
    }

    async fn handle(&mut self, request: Request, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Start(child, shutdown, again) => {
                let again = again.map(Box::new);
                self.adopt(child, Record { pid: Pid::NOBODY, shutdown, again, attempt: 1 }, cx);
            }
            Request::Children(reply) => reply.send(self.pids().collect()),
            Request::Terminate(pid, reply) => self.terminate_child(pid, reply, cx),
            Request::TimeOver(key, pid) => {
                if cx.child_pid(key) == Some(pid) {
                    cx.exit(pid, ExitReason::Kill);
                }
            }
            Request::Nothing => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let records: Vec<Record> = self.records.drain(..).flatten().collect();
        let ways: Vec<_> = records.iter().map(|record| (record.pid, record.shutdown)).collect();
        stop_all(&ways, cx).await;
        for (_, stopping) in std::mem::take(&mut self.stopping) {
            stopping.done();
        }
        for record in records {
            discard(record.again);
        }
    }
}

/// Drops what is the user's: a panic in that is its own affair.
fn discard(again: Option<Box<Again>>) {
    let _ = guard::call(|| drop(again));
}

impl Tasks {
    fn adopt(&mut self, child: Prepared, record: Record, cx: &mut Context<Self>) {
        let pid = child.pid();
        // It was prepared for this very process, by who had its address.
        let Ok(key) = cx.adopt(child) else { return discard(record.again) };
        let place = key.index();
        if place >= self.records.len() {
            self.records.resize_with(place + 1, || None);
        }
        self.records[place] = Some(Record { pid, ..record });
    }

    /// The tasks that run.
    fn pids(&self) -> impl Iterator<Item = Pid> {
        self.records.iter().flatten().map(|record| record.pid)
    }

    fn terminate_child(
        &mut self,
        pid: Pid,
        reply: Reply<Result<(), ChildError>>,
        cx: &mut Context<Self>,
    ) {
        let Some(key) = cx.child_key(pid) else {
            return reply.send(Err(ChildError::NotFound));
        };
        if let Some(stopping) = self.stopping.get_mut(&key) {
            stopping.waiting.push(reply);
            return;
        }
        let record = self.records.get(key.index()).and_then(Option::as_ref);
        let shutdown = record.map_or(Shutdown::BrutalKill, |record| record.shutdown);
        cx.exit(pid, shutdown.signal());
        let timer = match shutdown {
            Shutdown::After(time) => Some(cx.send_after(time, Request::TimeOver(key, pid))),
            Shutdown::BrutalKill | Shutdown::Infinity => None,
        };
        self.stopping.insert(key, Stopping { waiting: vec![reply], timer });
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let record = self.records.get_mut(down.key.index()).and_then(Option::take);
        let stopping = self.stopping.remove(&down.key);
        if let Some(mut record) = record
            && let Some(again) = record.again.take()
        {
            if stopping.is_none() && again.restart.applies(record.attempt, &down) {
                self.restart(again, record, cx);
            } else {
                discard(Some(again));
            }
        }
        if cx.child_count() == 0 {
            // Memory goes back after a burst.
            self.records = Vec::new();
        }
        if let Some(mut stopping) = stopping {
            if let Some(timer) = stopping.timer.take() {
                cx.cancel(timer);
            }
            stopping.done();
        }
    }

    fn restart(&mut self, mut again: Box<Again>, record: Record, cx: &mut Context<Self>) {
        if !self.restarts.allows(cx.runtime().uptime()) {
            discard(Some(again));
            return cx.stop(ExitReason::Shutdown);
        }
        match (again.make)(&cx.runtime(), cx.pid()) {
            Ok(child) => {
                let attempt = record.attempt.saturating_add(1);
                self.adopt(child, Record { again: Some(again), attempt, ..record }, cx);
            }
            // The runtime is shutting down, or its process table is full.
            Err(_) => {
                discard(Some(again));
                cx.stop(ExitReason::Shutdown);
            }
        }
    }
}

impl Stopping {
    fn done(self) {
        for reply in self.waiting {
            reply.send(Ok(()));
        }
    }
}
