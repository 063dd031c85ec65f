//! The process behind a dynamic supervisor of children of one kind.
//!
//! # A start
//! The request carries the caller's reply. It goes on to the child, which answers when its `init` is
//! done (or is answered for when it fails): the supervisor handles one message per start and waits for
//! nothing. With serial starts the answer is passed on beside the mailbox, and then comes the message to take the next
//! one.
//!
//! # What is kept per child
//! For a temporary one nothing. For one that may be restarted its arguments, the number of its
//! starts and the pid it had, at the place that the runtime gave it ([`ChildKey::index`]); aside, while it has no process
//! since one could not be made for its restart, and that is tried again.
//!
//! # No handler is ever suspended
//! but for `terminate`: so that an exit signal of the parent acts at once, and a child's end is seen
//! to at once. The supervisor traps exits: those of strangers are messages, and dropped.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

mod ends;
mod requests;

use std::{collections::VecDeque, fmt, sync::Arc};

use whitebeam_actor::{
    Actor, ChildKey, Context, ExitReason, Pid, SpawnOptions, Start, StartError, StartReply, oneshot,
};

use super::{
    handle::{Count, CountGuard},
    kept::{Kept, KeptTable},
    serial::Serial,
    sort::{Admin, Settings},
    stops::Stops,
};
use crate::{
    AutoShutdown, ChildId, ChildKind, ChildSpec, Restart, Shutdown, SpecError,
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
    /// A restart for which no process was made is to be tried again.
    TryAgain,
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

/// A child of which something is kept.
type OneKept<A> = Kept<Guarded<<A as Actor>::Args>>;

/// The supervisor's state.
pub struct Dynamic<A: Actor> {
    pub(super) template: Template<A>,
    settings: Settings,
    pub(super) kept: KeptTable<Guarded<A::Args>>,
    /// Children without a process, whose restarts are to be tried again, with the reasons why they have none. For each
    /// that was ever put here one [`Request::TryAgain`] comes.
    pub(super) waiting: VecDeque<(OneKept<A>, ExitReason)>,
    stops: Stops,
    restarts: History,
    /// Of the children that had started, the last one that has ended did so by itself and for good.
    has_left: bool,
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
            waiting: VecDeque::new(),
            stops: Stops::default(),
            has_left: false,
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
            Request::TryAgain => self.try_again(cx),
            Request::Admin(admin) => self.answer(admin, cx),
            Request::TimeOver(key, pid) => Stops::time_over(key, pid, cx),
            Request::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        self.count.0.close();
        let _ = cx.stop_children(self.template.shutdown.into()).await;
        // As in `child_down`.
        self.count.0.set(0);
        self.stops.end_all();
    }
}

impl<A: Actor> Dynamic<A> {
    #[inline]
    fn start(&mut self, args: A::Args, ack: StartReply<A::Msg>, cx: &mut Context<Self>) {
        if self.len(cx) >= self.settings.max_children {
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
        self.count.0.set(self.len(cx) + 1);
        let options = self.template.options.clone();
        let spawned = guard::call(|| cx.spawn_child::<A>(args, options, None, Some(ack)));
        match spawned {
            Ok(Some((key, child))) => {
                if let Some(args) = kept {
                    self.kept.put(key, Kept::new(args, child.pid()));
                }
            }
            _ => self.count.0.set(self.len(cx)),
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
        // Behind what has come meanwhile; and it is refused by no bound.
        cx.pipe(async move { ack.send(Start::answered(answer).await) }, |()| Request::Next);
    }

    /// Children, with those that have no process and are tried again.
    #[inline]
    pub(super) fn len(&self, cx: &Context<Self>) -> usize {
        cx.child_count() + self.waiting.len()
    }
}
