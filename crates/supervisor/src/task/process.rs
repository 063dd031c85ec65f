//! The process behind a task supervisor.
//!
//! # A start
//! Who wants a task takes a place, makes its process ([`Prepared`]) and sends that here: one message to the supervisor,
//! and none back. A place belongs to the task's body, or to what restarts it, and is given back when that is dropped:
//! before the result goes out. So the number of children needs no supervisor to be looked at.
//!
//! # A request that is not handled
//! is dropped with the supervisor, and the process in it ends without having run. From when it stops its children it
//! gives no place any more, so that who asks then is refused at once.
//!
//! # A restart that fails
//! A task's name is free before its supervisor hears of its end, and another process may take it between. The restart is
//! tried again then, behind what has come meanwhile, as a restart like any other. Until one succeeds the task is known
//! by the pid that it had.

use std::collections::BTreeMap;

use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Handle, Pid, Prepared, Reply, StartError,
    TimerRef,
};

use super::places::{Place, Places};
use crate::{
    ChildError, Intensity, Restart, Shutdown,
    guard::Guarded,
    intensity::History,
    stop_all::stop_all,
    tree::{self, Looked},
};

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
    /// For a picture of the tree: how many are to be listed.
    Look(usize, Reply<Looked>),
    /// A child that is being stopped has had its time.
    TimeOver(ChildKey, Pid),
    /// A restart of the task that had this pid has failed, and is to be tried again.
    TryAgain(Pid),
    /// A stranger's exit signal; and what is sent to hear why nothing can be.
    Nothing,
}

/// A task that runs, or is to run again.
pub(super) struct Record {
    /// Its own, or the last that it had.
    pub(super) pid: Pid,
    pub(super) shutdown: Shutdown,
    /// With what is the user's.
    pub(super) again: Option<Box<Guarded<Again>>>,
    /// Number of its starts.
    pub(super) attempt: u32,
}

/// A child that is being stopped on its own.
struct Stopping {
    waiting: Vec<Reply<Result<(), ChildError>>>,
    timer: Option<TimerRef>,
}

/// The supervisor's state.
pub(crate) struct Tasks {
    /// By [`ChildKey::index`].
    pub(super) records: Vec<Option<Record>>,
    /// How many of them are there.
    recorded: usize,
    stopping: BTreeMap<ChildKey, Stopping>,
    /// Tasks whose restarts have failed and are tried again, by the pids that they had.
    pub(super) failed: BTreeMap<Pid, Record>,
    restarts: History,
    places: Places,
}

/// Records that there may be room for while there is none.
const KEPT: usize = 256;

impl Actor for Tasks {
    type Args = (Plan, Places);
    type Msg = Request;

    async fn init((plan, places): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Request::Nothing);
        Ok(Tasks {
            records: Vec::new(),
            recorded: 0,
            stopping: BTreeMap::new(),
            failed: BTreeMap::new(),
            restarts: History::new(plan.intensity),
            places,
        })
    }

    async fn handle(&mut self, request: Request, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Start(child, shutdown, again) => {
                let again = again.map(|again| Box::new(Guarded::new(again)));
                self.adopt(child, Record { pid: Pid::NOBODY, shutdown, again, attempt: 1 }, cx);
            }
            Request::Children(reply) => reply.send(self.pids().collect()),
            Request::Terminate(pid, reply) => self.terminate_child(pid, reply, cx),
            Request::Look(most, reply) => tree::tell(reply, || self.look(most)),
            Request::TimeOver(key, pid) => {
                if cx.child_pid(key) == Some(pid) {
                    cx.exit(pid, ExitReason::Kill);
                }
            }
            Request::TryAgain(pid) => {
                if let Some(record) = self.failed.remove(&pid) {
                    self.restart(record, cx);
                }
            }
            Request::Nothing => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        self.places.close();
        self.failed.clear();
        let mut ways = Vec::with_capacity(self.recorded);
        for (key, _) in cx.children() {
            let record = self.records.get(key.index()).and_then(Option::as_ref);
            ways.extend(record.map(|record| (key, record.shutdown)));
        }
        stop_all(ways, cx).await;
        for (_, stopping) in std::mem::take(&mut self.stopping) {
            stopping.done();
        }
    }
}

impl Tasks {
    fn adopt(&mut self, child: Prepared, record: Record, cx: &mut Context<Self>) {
        let pid = child.pid();
        // It was prepared for this very process, by who had its address.
        let Ok(key) = cx.adopt(child) else { return };
        let place = key.index();
        if place >= self.records.len() {
            self.records.resize_with(place + 1, || None);
        }
        self.records[place] = Some(Record { pid, ..record });
        self.recorded += 1;
    }

    fn take(&mut self, key: ChildKey) -> Option<Record> {
        let record = self.records.get_mut(key.index())?.take()?;
        self.recorded -= 1;
        Some(record)
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
            let failed = self.failed.remove(&pid);
            return reply.send(failed.map(drop).ok_or(ChildError::NotFound));
        };
        if let Some(stopping) = self.stopping.get_mut(&key) {
            stopping.waiting.push(reply);
            return;
        }
        let record = self.records.get(key.index()).and_then(Option::as_ref);
        let shutdown = record.map_or(Shutdown::BrutalKill, |record| record.shutdown);
        cx.exit(pid, shutdown.signal());
        let over = |time| cx.send_after(time, Request::TimeOver(key, pid));
        let timer = shutdown.limit().map(over);
        self.stopping.insert(key, Stopping { waiting: vec![reply], timer });
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let record = self.take(down.key);
        let stopping = self.stopping.remove(&down.key);
        if let Some(record) = record
            && let Some(again) = record.again.as_deref().and_then(Guarded::get)
            && stopping.is_none()
            && again.restart.applies(record.attempt, &down)
        {
            self.restart(record, cx);
        }
        if self.recorded == 0 && self.records.capacity() > KEPT {
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

    fn restart(&mut self, mut record: Record, cx: &mut Context<Self>) {
        let Some(again) = record.again.as_deref_mut().and_then(Guarded::get_mut) else { return };
        if !self.restarts.allows(cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        match (again.make)(&cx.runtime(), cx.pid()) {
            Ok(child) => {
                let attempt = record.attempt.saturating_add(1);
                self.adopt(child, Record { attempt, ..record }, cx);
            }
            Err(StartError::ShuttingDown) => cx.stop(ExitReason::Shutdown),
            // Its name was taken, or the process table is full.
            Err(_) => {
                let pid = record.pid;
                self.failed.insert(pid, record);
                // Behind what has come meanwhile; and it is refused by no bound.
                cx.pipe(std::future::ready(()), move |()| Request::TryAgain(pid));
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
