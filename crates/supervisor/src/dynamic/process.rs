//! The process behind a dynamic supervisor of children of one kind.
//!
//! # A start
//! The request carries the caller's reply. It goes on to the child, which answers when its `init` is
//! done (or is answered for when it fails): the supervisor handles one message per start and waits for
//! nothing. With serial starts a small task passes the answer on and tells the supervisor to take the
//! next one.
//!
//! # What is kept per child
//! For a temporary one nothing. For one that may be restarted its arguments, the number of its
//! starts and the pid it had, at the place that the runtime gave it ([`ChildKey::index`]).
//!
//! # No handler is ever suspended
//! but for `terminate`: so that an exit signal of the parent acts at once, and a child's end is seen
//! to at once. The supervisor traps exits: those of strangers are messages, and dropped.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

use std::{fmt, sync::Arc};

use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Pid, SpawnOptions, Start, StartError,
    StartInfo, StartReply, oneshot,
};

use super::{
    handle::{Count, CountGuard},
    kept::{Kept, KeptTable},
    serial::Serial,
    sort::{Admin, Settings},
    stops::Stops,
};
use crate::{
    AutoShutdown, ChildCounts, ChildEntry, ChildError, ChildId, ChildKind, ChildSpec, ChildState,
    Restart, Shutdown, SpecError,
    guard::{self, Guarded},
    intensity::History,
};

/// Makes the copy of a child's arguments that stays with the supervisor.
pub(super) type Keep<T> = fn(&T) -> T;

/// Makes what a child is started with.
pub(super) type Make<T> = dyn Fn(T) -> T + Send + Sync;

/// What is known of all children.
pub struct Template<A: Actor> {
    /// How arguments are kept. `None`: they are not.
    pub(super) keep: Option<Keep<A::Args>>,
    /// What children are started with, made of what was asked for.
    pub(super) arguments: Option<Arc<Make<A::Args>>>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) kind: ChildKind,
    pub(super) options: SpawnOptions,
}

impl<A: Actor> Template<A> {
    /// Children are never restarted.
    pub(super) fn temporary() -> Self {
        Template {
            keep: None,
            arguments: None,
            restart: Restart::Temporary,
            shutdown: Shutdown::WORKER,
            auto_shutdown: AutoShutdown::Never,
            kind: ChildKind::Worker,
            options: SpawnOptions::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        let Template { restart, auto_shutdown, .. } = *self;
        if restart == Restart::Permanent && auto_shutdown != AutoShutdown::Never {
            return Err(SpecError::Significant { id: ChildId::UNDEFINED, restart, auto_shutdown });
        }
        Ok(())
    }

    fn settings(&self) -> ChildSpec {
        ChildSpec {
            id: ChildId::UNDEFINED,
            restart: self.restart,
            shutdown: self.shutdown,
            significant: self.auto_shutdown != AutoShutdown::Never,
            kind: self.kind,
            actor: std::any::type_name::<A>(),
        }
    }
}

impl<A: Actor> Clone for Template<A> {
    fn clone(&self) -> Self {
        Template { arguments: self.arguments.clone(), options: self.options.clone(), ..*self }
    }
}

impl<A: Actor> fmt::Debug for Template<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("children", &std::any::type_name::<A>())
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("auto_shutdown", &self.auto_shutdown)
            .field("kind", &self.kind)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A child that somebody wants.
pub(super) type Wanted<A> = (<A as Actor>::Args, StartReply<<A as Actor>::Msg>);

/// What a supervisor is asked.
pub enum Request<A: Actor> {
    Start(A::Args, StartReply<A::Msg>),
    #[expect(private_interfaces, reason = "the guard is this crate's")]
    StartMany(Vec<Guarded<Wanted<A>>>),
    Admin(Admin),
    /// The `init` of a serial start is over.
    Next,
    /// A child that is being stopped has had its time.
    TimeOver(ChildKey, Pid),
    /// A stranger's exit signal.
    Exit,
}

impl<A: Actor> From<Admin> for Request<A> {
    fn from(admin: Admin) -> Self {
        Request::Admin(admin)
    }
}

/// The supervisor's state.
pub struct Dynamic<A: Actor> {
    pub(super) template: Template<A>,
    settings: Settings,
    pub(super) kept: KeptTable<Guarded<A::Args>>,
    stops: Stops,
    restarts: History,
    serial: Serial<Wanted<A>>,
    count: CountGuard,
}

impl<A: Actor> Actor for Dynamic<A> {
    type Args = (Template<A>, Settings, Count);
    type Msg = Request<A>;

    async fn init(
        (template, settings, count): Self::Args,
        cx: &mut Context<Self>,
    ) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Request::Exit);
        Ok(Dynamic {
            restarts: History::new(settings.intensity),
            template,
            settings,
            kept: KeptTable::new(),
            stops: Stops::default(),
            serial: Serial::new(),
            count: CountGuard(count),
        })
    }

    async fn handle(
        &mut self,
        request: Request<A>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        match request {
            Request::Start(args, ack) if !self.settings.serial => self.start(args, ack, cx),
            Request::Start(args, ack) => {
                self.serial.push((args, ack));
                self.next_serial(cx);
            }
            Request::StartMany(batch) if !self.settings.serial => {
                for (args, ack) in batch.into_iter().filter_map(Guarded::take) {
                    self.start(args, ack, cx);
                }
            }
            Request::StartMany(batch) => {
                self.serial.extend(batch);
                self.next_serial(cx);
            }
            Request::Next => {
                self.serial.done();
                self.next_serial(cx);
            }
            Request::Admin(admin) => self.answer(admin, cx),
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
        let _ = cx.stop_children(self.template.shutdown.into()).await;
        // As in `child_down`.
        self.count.0.set(cx.child_count());
        self.stops.end_all();
    }
}

impl<A: Actor> Dynamic<A> {
    #[inline]
    fn start(&mut self, args: A::Args, ack: StartReply<A::Msg>, cx: &mut Context<Self>) {
        if cx.child_count() >= self.settings.max_children {
            drop(Guarded::new(args));
            return ack.send(Err(StartError::MaxChildren));
        }
        let kept = match self.template.keep.map(|keep| guard::call(|| keep(&args))).transpose() {
            Ok(kept) => kept.map(Guarded::new),
            Err(panic) => {
                drop(Guarded::new(args));
                return ack.send(Err(StartError::Exit(panic)));
            }
        };
        let args = match self.arguments(args) {
            Ok(args) => args,
            Err(panic) => return ack.send(Err(StartError::Exit(panic))),
        };
        // Before it can run: who is told that it has started may look at the count.
        self.count.0.set(cx.child_count() + 1);
        let options = self.template.options.clone();
        let spawned = guard::call(|| cx.spawn_child::<A>(args, options, None, Some(ack)));
        match spawned {
            Ok(Some((key, child))) => {
                if let Some(args) = kept {
                    self.kept.put(key, Kept::new(args, child.pid()));
                }
            }
            _ => self.count.0.set(cx.child_count()),
        }
    }

    /// What a child is started with.
    #[inline]
    fn arguments(&self, args: A::Args) -> Result<A::Args, ExitReason> {
        match &self.template.arguments {
            None => Ok(args),
            Some(make) => guard::call(|| make(args)),
        }
    }

    fn next_serial(&mut self, cx: &mut Context<Self>) {
        let Some((args, ack)) = self.serial.next() else { return };
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

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let kept = self.kept.take(down.key);
        let ended = self.stops.end(down.key, cx);
        if ended.is_none() {
            match kept {
                Some(kept) if self.template.restart.applies(kept.attempt, &down) => {
                    self.restart(kept, down, cx);
                }
                _ if self.template.auto_shutdown != AutoShutdown::Never => {
                    self.significant_down(&down, cx);
                }
                _ => {}
            }
        }
        let children = cx.child_count();
        if children == 0 {
            self.kept.clear();
        }
        self.count.0.set(children);
        // When it is counted off: who waited may look at the count.
        if let Some(stop) = ended {
            stop.done();
        }
    }

    /// A significant child has ended by itself, for good.
    #[cold]
    fn significant_down(&mut self, down: &ChildDown, cx: &mut Context<Self>) {
        let ends = match self.template.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => cx.child_count() == 0,
        };
        // One whose first start failed was none.
        if ends && down.started {
            cx.stop(ExitReason::Shutdown);
        }
    }

    fn restart(
        &mut self,
        mut kept: Kept<Guarded<A::Args>>,
        down: ChildDown,
        cx: &mut Context<Self>,
    ) {
        if !self.restarts.allows_at(|| cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        let Some((keep, args)) = self.template.keep.zip(kept.with.get()) else { return };
        let args = match guard::call(|| keep(args)).and_then(|args| self.arguments(args)) {
            Ok(args) => args,
            // A child that cannot be restarted is for the supervisor above to see to.
            Err(panic) => return cx.stop(panic),
        };
        if down.started {
            kept.last = down.pid;
        }
        kept.attempt = kept.attempt.saturating_add(1);
        let mut info = StartInfo::first();
        info.attempt = kept.attempt;
        info.last_exit = Some(down.reason);
        let options = self.template.options.clone();
        match guard::call(|| cx.spawn_child::<A>(args, options, Some(info), None)) {
            Ok(Some((key, _child))) => {
                self.kept.put(key, kept);
                self.kept.note_restart(key, cx);
            }
            // The runtime is shutting down, its process table is full, or the name was taken.
            _ => cx.stop(ExitReason::Shutdown),
        }
    }
}

impl<A: Actor> Dynamic<A> {
    fn answer(&mut self, admin: Admin, cx: &mut Context<Self>) {
        match admin {
            Admin::Terminate(pid, reply) => {
                let found = self.find(pid, cx);
                match found.and_then(|key| Some((key, cx.child_pid(key)?))) {
                    Some((key, pid)) => {
                        let over = Request::TimeOver(key, pid);
                        self.stops.begin((key, pid), self.template.shutdown, reply, over, cx);
                    }
                    None => reply.send(Err(ChildError::NotFound)),
                }
            }
            Admin::WhichChildren(reply) => reply.send(self.which_children(cx)),
            Admin::CountChildren(reply) => reply.send(self.count_children(cx)),
            Admin::GetChildspec(pid, reply) => {
                let found = self.find(pid, cx).map(|_| self.template.settings());
                reply.send(found.ok_or(ChildError::NotFound));
            }
            Admin::SetMaxChildren(most, reply) => {
                self.settings.max_children = most;
                reply.send(());
            }
            Admin::Count(reply) => reply.send(self.count.0.clone()),
            Admin::Look(most, reply) => reply.send(self.look(most, cx)),
        }
    }

    /// The child of this pid; also the one that had it, and whose restart is not done.
    fn find(&mut self, pid: Pid, cx: &Context<Self>) -> Option<ChildKey> {
        cx.child_key(pid).or_else(|| self.kept.restarting(pid, cx))
    }

    fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let describe = |(key, pid)| ChildEntry {
            id: ChildId::UNDEFINED,
            state: match self.kept.is_restarting(key, cx) {
                true => ChildState::Restarting,
                false => ChildState::Running(pid),
            },
            kind: self.template.kind,
            actor: std::any::type_name::<A>(),
        };
        cx.children().map(describe).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        // The template.
        let mut counts = ChildCounts { specs: 1, ..ChildCounts::default() };
        for (key, pid) in cx.children() {
            let is_active = rt.is_alive(pid) && !self.kept.is_restarting(key, cx);
            counts.active += usize::from(is_active);
            match self.template.kind {
                ChildKind::Worker => counts.workers += 1,
                ChildKind::Supervisor => counts.supervisors += 1,
            }
        }
        counts
    }
}
