//! The process behind a dynamic supervisor.
//!
//! # A start
//! The request carries the caller's reply. It goes on to the child, which answers when its `init` is
//! done (or is answered for when it fails): the supervisor handles one message per start and waits for
//! nothing. With serial starts a small task passes the answer on and tells the supervisor to take the
//! next one.
//!
//! # What is kept per child
//! For a temporary one nothing. For one that may be restarted its arguments and the number of its
//! starts, at the place that the runtime gave it ([`ChildKey::index`]).
//!
//! # No handler is ever suspended
//! but for `terminate`: so that an exit signal of the parent acts at once, and a child's end is seen
//! to at once. The supervisor traps exits: those of strangers are messages, and dropped.

use std::collections::{BTreeMap, VecDeque};

use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Pid, Reply, SpawnOptions, Start, StartError,
    StartInfo, StartReply, TimerRef, oneshot,
};

use super::handle::Count;
use crate::{
    ChildError, Intensity, Restart, Shutdown,
    guard::{self, Guarded},
    intensity::History,
};

/// Makes the copy of a child's arguments that stays with the supervisor.
pub(super) type Keep<T> = fn(&T) -> T;

/// What a supervisor was built to do.
pub(crate) struct Plan<A: Actor> {
    /// How arguments are kept. `None`: they are not.
    pub(super) keep: Option<Keep<A::Args>>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) max_children: usize,
    pub(super) intensity: Intensity,
    pub(super) serial: bool,
}

impl<A: Actor> Clone for Plan<A> {
    fn clone(&self) -> Self {
        Plan { ..*self }
    }
}

/// A child that somebody wants.
pub(crate) type Wanted<A> = Guarded<(<A as Actor>::Args, StartReply<<A as Actor>::Msg>)>;

/// What a supervisor is asked.
pub(crate) enum Request<A: Actor> {
    Start(A::Args, StartReply<A::Msg>),
    StartMany(Vec<Wanted<A>>),
    Terminate(Pid, Reply<Result<(), ChildError>>),
    /// The `init` of a serial start is over.
    Next,
    /// A child that is being stopped has had its time.
    TimeOver(ChildKey, Pid),
    /// A stranger's exit signal.
    Exit,
}

/// A child that may be restarted.
struct Kept<A: Actor> {
    args: Guarded<A::Args>,
    /// Its starts so far.
    attempt: u32,
}

/// A child that is being stopped on its own.
struct Stopping {
    waiting: Vec<Reply<Result<(), ChildError>>>,
    timer: Option<TimerRef>,
}

/// The supervisor's state.
pub(crate) struct Dynamic<A: Actor> {
    plan: Plan<A>,
    /// By [`ChildKey::index`]; empty if children are temporary.
    kept: Vec<Option<Kept<A>>>,
    stopping: BTreeMap<ChildKey, Stopping>,
    restarts: History,
    serial: Serial<A>,
    count: CountGuard,
}

struct Serial<A: Actor> {
    /// A start is under way.
    busy: bool,
    waiting: VecDeque<Wanted<A>>,
}

/// However the supervisor ends: it has no children then.
struct CountGuard(Count);

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl<A: Actor> Actor for Dynamic<A> {
    type Args = (Plan<A>, Count);
    type Msg = Request<A>;

    async fn init((plan, count): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Request::Exit);
        Ok(Dynamic {
            restarts: History::new(plan.intensity),
            plan,
            kept: Vec::new(),
            stopping: BTreeMap::new(),
            serial: Serial { busy: false, waiting: VecDeque::new() },
            count: CountGuard(count),
        })
    }

    async fn handle(
        &mut self,
        request: Request<A>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        match request {
            Request::Start(args, ack) if !self.plan.serial => self.start(args, ack, cx),
            Request::Start(args, ack) => {
                self.serial.waiting.push_back(Guarded::new((args, ack)));
                self.next_serial(cx);
            }
            Request::StartMany(batch) if !self.plan.serial => {
                for (args, ack) in batch.into_iter().filter_map(Guarded::take) {
                    self.start(args, ack, cx);
                }
            }
            Request::StartMany(batch) => {
                self.serial.waiting.extend(batch);
                self.next_serial(cx);
            }
            Request::Next => {
                self.serial.busy = false;
                self.next_serial(cx);
            }
            Request::Terminate(pid, reply) => self.terminate_child(pid, reply, cx),
            Request::TimeOver(key, pid) => {
                if cx.child_pid(key) == Some(pid) {
                    cx.exit(pid, ExitReason::Kill);
                }
            }
            Request::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let _ = cx.stop_children(self.plan.shutdown.into()).await;
        // As in `child_down`.
        self.count.0.set(cx.child_count());
        for (_, stopping) in std::mem::take(&mut self.stopping) {
            stopping.done();
        }
    }
}

impl<A: Actor> Dynamic<A> {
    #[inline]
    fn start(&mut self, args: A::Args, ack: StartReply<A::Msg>, cx: &mut Context<Self>) {
        if cx.child_count() >= self.plan.max_children {
            drop(Guarded::new(args));
            return ack.send(Err(StartError::MaxChildren));
        }
        let kept = match self.plan.keep.map(|keep| guard::call(|| keep(&args))).transpose() {
            Ok(kept) => kept,
            Err(panic) => {
                drop(Guarded::new(args));
                return ack.send(Err(StartError::Exit(panic)));
            }
        };
        // Before it can run: who is told that it has started may look at the count.
        self.count.0.set(cx.child_count() + 1);
        // No name: a name has one owner, and here are many children.
        let options = SpawnOptions::new();
        let spawned = guard::call(|| cx.spawn_child::<A>(args, options, None, Some(ack)));
        match spawned {
            Ok(Some((key, _child))) => {
                if let Some(args) = kept {
                    self.keep(key, Kept { args: Guarded::new(args), attempt: 1 });
                }
            }
            _ => self.count.0.set(cx.child_count()),
        }
    }

    fn keep(&mut self, key: ChildKey, kept: Kept<A>) {
        let place = key.index();
        if place >= self.kept.len() {
            self.kept.resize_with(place + 1, || None);
        }
        self.kept[place] = Some(kept);
    }

    fn next_serial(&mut self, cx: &mut Context<Self>) {
        if self.serial.busy {
            return;
        }
        let Some((args, ack)) = self.serial.waiting.pop_front().and_then(Guarded::take) else {
            return;
        };
        self.serial.busy = true;
        let (started, answer) = oneshot();
        self.start(args, started, cx);
        let me = cx.me();
        cx.runtime()
            .spawn_task(async move {
                ack.send(Start::answered(answer).await);
                // Refused only by a supervisor that has ended, which takes no next one.
                let _ = me.cast(Request::Next);
            })
            .detach();
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
        cx.exit(pid, self.plan.shutdown.signal());
        let time = self.plan.shutdown.limit();
        let timer = time.map(|time| cx.send_after(time, Request::TimeOver(key, pid)));
        self.stopping.insert(key, Stopping { waiting: vec![reply], timer });
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let kept = self.kept.get_mut(down.key.index()).and_then(Option::take);
        let mut ended = None;
        if let Some(mut stopping) = self.stopping.remove(&down.key) {
            if let Some(timer) = stopping.timer.take() {
                cx.cancel(timer);
            }
            ended = Some(stopping);
        } else if let Some(kept) = kept
            && self.plan.restart.applies(kept.attempt, &down)
        {
            self.restart(kept, down.reason, cx);
        }
        let children = cx.child_count();
        if children == 0 {
            // Memory goes back after a burst.
            self.kept = Vec::new();
        }
        self.count.0.set(children);
        // When it is counted off: who waited may look at the count.
        if let Some(stopping) = ended {
            stopping.done();
        }
    }

    fn restart(&mut self, kept: Kept<A>, last_exit: ExitReason, cx: &mut Context<Self>) {
        if !self.restarts.allows(cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        let Some(args) = self.plan.keep.zip(kept.args.get()) else { return };
        let args = match guard::call(|| (args.0)(args.1)) {
            Ok(args) => args,
            // A child that cannot be restarted is for the supervisor above to see to.
            Err(panic) => return cx.stop(panic),
        };
        let mut info = StartInfo::first();
        info.attempt = kept.attempt.saturating_add(1);
        info.last_exit = Some(last_exit);
        let attempt = info.attempt;
        let spawned =
            guard::call(|| cx.spawn_child::<A>(args, SpawnOptions::new(), Some(info), None));
        match spawned {
            Ok(Some((key, _child))) => self.keep(key, Kept { args: kept.args, attempt }),
            // The runtime is shutting down, or its process table is full.
            _ => cx.stop(ExitReason::Shutdown),
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
