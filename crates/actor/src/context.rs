//! What an actor's code is given: itself, and what it may ask of the runtime.
#![expect(unsafe_code, reason = "reaches the owner's part of the running cell")]

mod look;
mod supervise;
mod watch;
mod work;

use std::{fmt, future::Future, marker::PhantomData, ptr, time::Duration};

use whitebeam_scheduler::Time;

use crate::{
    Actor, ActorRef, ChildDown, ChildKey, Exit, ExitReason, Handle, Mailbox, MonitorRef, Pid, Rng,
    SpawnOptions, Start, StartInfo, StartReply, Target, TimerRef,
    cell::{CellPtr, bit},
    children::{self, Stop, StopChild, StopChildren},
    end::{self, How},
    ext::Ext,
    idle, lane, later, link, message,
    monitor::{self, Down},
    oneshot::oneshot,
    process::{self, Body},
    signal,
    spawn::{self, Relation, Spawned},
    timer,
};

/// The running actor's side of the runtime. Passed to `init`, `handle` and `terminate`.
///
/// Its `&self` methods give owned values, so that no `&Context` lives over an await.
///
/// It belongs to its handler and stays there: it has no size, so that it cannot be moved out, nor be swapped
/// with that of another actor.
///
/// ```compile_fail,E0277
/// fn swap<A>(one: &mut whitebeam_actor::Context<A>, other: &mut whitebeam_actor::Context<A>) {
///     std::mem::swap(one, other);
/// }
/// ```
#[repr(C)]
pub struct Context<A> {
    /// For what anyone may do who has the address. The owner's part is reached by [`Context::own`].
    cell: CellPtr,
    _actor: PhantomData<fn(A)>,
    _unsized: [()],
}

/// Where a [`Context`] lies.
#[repr(C)]
pub(crate) struct Place<A> {
    cell: CellPtr,
    _actor: PhantomData<fn(A)>,
}

impl<A> Place<A> {
    pub(crate) fn new(cell: CellPtr) -> Self {
        Place { cell, _actor: PhantomData }
    }

    /// The context. Given to the code of the cell's actor only, while that owns the cell.
    #[inline]
    pub(crate) fn lend(&mut self) -> &mut Context<A> {
        let place: *mut Self = self;
        let context = ptr::slice_from_raw_parts_mut(place.cast::<()>(), 0) as *mut Context<A>;
        // SAFETY: the same fields at the same places (`repr(C)`), and a tail of no elements; borrowed for as
        // long as `self` is.
        unsafe { &mut *context }
    }

    /// As [`lend`](Self::lend), to be read.
    #[inline]
    pub(crate) fn show(&self) -> &Context<A> {
        let place: *const Self = self;
        let context = ptr::slice_from_raw_parts(place.cast::<()>(), 0) as *const Context<A>;
        // SAFETY: as in `lend`.
        unsafe { &*context }
    }

    #[inline]
    pub(crate) fn cell(&self) -> CellPtr {
        self.cell
    }
}

const _: () = assert!(size_of::<Place<()>>() == size_of::<CellPtr>());

/// Starts processes with options: [`Context::with`].
#[must_use = "options do nothing until something is started with them"]
pub struct Spawner<'a, A> {
    cx: &'a mut Context<A>,
    options: SpawnOptions,
}

// Every `unsafe` block below rests on one fact: a `Context` is only lent to the code of its cell's actor, which
// the cell's owner calls, with no reference into the owner's part alive; it cannot be moved elsewhere. That
// code may lend it on to other threads, but has to wait for them. So `&mut self` is the only way to the owner's
// part for as long as it lasts, and while there are several `&self` that part is only read.
//
// In the process form the context is the `Mailbox`'s, which its body may give away. So `own` looks, there, whether
// the caller is that body: see `process`.
impl<A: Actor> Context<A> {
    /// The cell, for who does not touch the owner's part of it.
    pub(crate) fn cell(&self) -> CellPtr {
        self.cell
    }

    /// The cell, for who touches the owner's part of it.
    #[inline]
    pub(crate) fn own(&self) -> CellPtr {
        if const { A::FORM.is_process() } {
            process::assert_runs(self.cell);
        }
        self.cell
    }

    /// As [`own`](Self::own), for who looks after children.
    #[inline]
    pub(crate) fn own_as_parent(&self) -> CellPtr {
        if const { A::FORM.is_process() } {
            panic!("a process in the process form supervises no children: this needs an actor");
        }
        self.cell
    }

    /// This actor's address.
    pub fn me(&self) -> ActorRef<A::Msg> {
        ActorRef::from_cell(self.cell.to_ref())
    }

    /// This actor's pid.
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// The pid of the process that started this one. `None`: it was started from outside.
    pub fn parent(&self) -> Option<Pid> {
        self.cell.header().parent_pid()
    }

    /// The parent, its parent and so on, as far as they can still be found when this is first called.
    pub fn ancestors(&mut self) -> &[Pid] {
        let shared = self.cell.shared();
        // SAFETY: see above the impl.
        let ext = unsafe { Ext::of(self.own()) };
        ext.ancestors.get_or_insert_with(|| {
            let mut pids: Vec<Pid> = Vec::new();
            let mut next = self.cell.header().parent_pid();
            while let Some(pid) = next.filter(|pid| !pids.contains(pid)) {
                pids.push(pid);
                next = shared.resolve(pid).and_then(|cell| cell.ptr().header().parent_pid());
            }
            pids.into()
        })
    }

    /// Which start this is, and how the incarnation before it ended.
    pub fn start_info(&self) -> StartInfo {
        // SAFETY: see above the impl: it is read.
        let info = unsafe { Ext::look(self.own()) }.and_then(|ext| ext.start_info.clone());
        info.unwrap_or_else(StartInfo::first)
    }

    /// The runtime.
    pub fn runtime(&self) -> Handle {
        Handle::of(self.cell)
    }

    /// A generator of random numbers, as [`Handle::rng`].
    pub fn rng(&self) -> Rng {
        Rng::of(self.cell.shared().scheduler())
    }

    /// Starts with options: the same methods, on the options' spawner.
    pub fn with(&mut self, options: SpawnOptions) -> Spawner<'_, A> {
        Spawner { cx: self, options }
    }

    /// Starts a process. Its `init` runs in it, later. It lives on when this one ends.
    ///
    /// If none can be started (shutdown, a full process table) the address is nobody's.
    pub fn spawn<B: Actor>(&mut self, args: B::Args) -> ActorRef<B::Msg> {
        self.with(SpawnOptions::new()).spawn::<B>(args)
    }

    /// Starts a process that is linked to this one before it runs.
    pub fn spawn_link<B: Actor>(&mut self, args: B::Args) -> ActorRef<B::Msg> {
        self.with(SpawnOptions::new()).spawn_link::<B>(args)
    }

    /// Starts a process that this one monitors before it runs: its DOWN is never `NoProc`.
    pub fn spawn_monitor<B: Actor>(
        &mut self,
        args: B::Args,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> (ActorRef<B::Msg>, MonitorRef) {
        self.with(SpawnOptions::new()).spawn_monitor::<B>(args, f)
    }

    /// Starts a process in the process form, as [`Handle::spawn_fn`]. It lives on when this one ends.
    pub fn spawn_fn<M, F, Fut>(&mut self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.with(SpawnOptions::new()).spawn_fn(f)
    }

    /// Starts a process in the process form that is linked to this one before it runs.
    pub fn spawn_fn_link<M, F, Fut>(&mut self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.with(SpawnOptions::new()).spawn_fn_link(f)
    }

    /// Starts a process; the future is ready when its `init` is done.
    pub fn start<B: Actor>(&mut self, args: B::Args) -> Start<B::Msg> {
        self.with(SpawnOptions::new()).start::<B>(args)
    }

    /// Starts a process that is linked to this one; the future is ready when its `init` is done.
    pub fn start_link<B: Actor>(&mut self, args: B::Args) -> Start<B::Msg> {
        self.with(SpawnOptions::new()).start_link::<B>(args)
    }

    /// Links this process and `to`: each gets an exit signal when the other ends. No effect if they
    /// are linked. If there is no such process, or nobody has the name, this one gets the exit signal `NoProc`.
    pub fn link(&mut self, to: impl Target) {
        self.link_as(&to, false);
    }

    fn link_as(&mut self, to: &impl Target, is_urgent: bool) {
        let shared = self.cell.shared();
        let nobody = || to.name().map(|_| Pid::from_bits(0));
        let Some(pid) = shared.pid_of(to).or_else(nobody) else { return };
        let target = shared.resolve(pid);
        // SAFETY: see above the impl.
        unsafe { link::link(self.own(), pid, target, is_urgent) };
    }

    /// Takes a link back. From now on it has no effect on this process. By a name: that with whoever has it now.
    pub fn unlink(&mut self, to: impl Target) {
        if let Some(pid) = self.cell.shared().pid_of(&to) {
            // SAFETY: see above the impl.
            unsafe { link::unlink(self.own(), pid) };
        }
    }

    /// Watches `to`: exactly one message `f(down)` when it ends, at once with `NoProc` if it has. By a name:
    /// whoever has it now, and `down.name` is the name.
    pub fn monitor(
        &mut self,
        to: impl Target,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> MonitorRef {
        let whom = self.whom(&to);
        // SAFETY: see above the impl.
        unsafe { monitor::monitor(self.own(), whom, None, f) }
    }

    /// Takes a monitor back. `true`: it was active, and its message will never come. `false`: it has
    /// fired, or is another process's; its message may wait in the mailbox, see
    /// [`demonitor_flush`](Self::demonitor_flush).
    pub fn demonitor(&mut self, monitor: MonitorRef) -> bool {
        // SAFETY: see above the impl.
        unsafe { monitor::demonitor(self.own(), monitor) }
    }

    /// From now on exit signals become messages, but for `Kill` and those of the parent; in the process form those
    /// of the parent as well.
    pub fn trap_exit(&mut self, f: impl Fn(Exit) -> A::Msg + Send + 'static) {
        // SAFETY: see above the impl.
        unsafe { Ext::of(self.own()) }.trap = Some(signal::constructor(f));
        self.own().header().set(bit::TRAP);
    }

    /// From now on exit signals act. EXITs that are messages already stay messages.
    pub fn untrap_exit(&mut self) {
        self.own().header().clear(bit::TRAP);
        // SAFETY: see above the impl.
        if let Some(ext) = unsafe { Ext::get(self.own()) } {
            ext.trap = None;
        }
    }

    /// Sends this actor a message after a time: never early, and not at all if it ends before.
    ///
    /// How late: a slice of work (50 us) and the system's wake-up of a thread that sleeps; up to half a millisecond
    /// ([`Builder::timer_slack`](crate::Builder::timer_slack)) while thousands are due each second and there is no other
    /// work; more while every worker is inside a handler that takes longer. Timers of one process that are due at different times come in that
    /// order.
    ///
    /// For what another process or no process is to be sent later there are [`ActorRef::cast_after`],
    /// [`Handle::exit_after`] and [`Handle::run_after`].
    ///
    /// # Panics
    /// The time is of more than 2^63 ms.
    #[track_caller]
    pub fn send_after(&mut self, after: Duration, msg: A::Msg) -> TimerRef {
        let deadline = later::deadline(self.own().shared(), after);
        // SAFETY: see above the impl.
        unsafe { timer::at(self.own(), deadline, msg) }
    }

    /// Sends this actor a message at a time of the runtime's clock ([`Handle::now`]): never early, and soon if it
    /// is past. As [`send_after`](Self::send_after) otherwise.
    pub fn send_at(&mut self, at: Time, msg: A::Msg) -> TimerRef {
        // SAFETY: see above the impl.
        unsafe { timer::at(self.own(), at, msg) }
    }

    /// Sends this actor a message every `period`, first after one.
    ///
    /// The beat is kept: ticks are due at whole periods after the first, however late one was. Those that were
    /// missed while the process did not look at its mailbox, in a handler that took longer than a period, are
    /// skipped: one comes for all of them. It ends with the process, or when it is [cancelled](Self::cancel).
    ///
    /// # Panics
    /// The period is of more than 2^63 ms.
    #[track_caller]
    pub fn interval(
        &mut self,
        period: Duration,
        f: impl FnMut() -> A::Msg + Send + 'static,
    ) -> TimerRef {
        let first = later::deadline(self.own().shared(), period);
        // SAFETY: see above the impl.
        unsafe { timer::every(self.own(), first, period, f) }
    }

    /// Takes a timer back: the time that was left, or `None` if it has fired, was cancelled before or is another
    /// process's. It fires or was cancelled, never both.
    pub fn cancel(&mut self, timer: TimerRef) -> Option<Duration> {
        // SAFETY: see above the impl.
        unsafe { timer::cancel(self.own(), timer) }
    }

    /// The time until a timer is due: of an interval, until its next tick. `None`: as for
    /// [`cancel`](Self::cancel).
    pub fn time_left(&mut self, timer: TimerRef) -> Option<Duration> {
        // SAFETY: see above the impl.
        unsafe { timer::time_left(self.own(), timer) }
    }

    /// Handles `msg` if nothing else comes for `after`, counted from the end of this handler: OTP's timeout.
    ///
    /// It is for the next wait only: it is dropped as soon as any other message is handled, be that sent, a call,
    /// of a monitor, a link or a timer, or from [`continue_with`](Self::continue_with), or when the end of a
    /// supervised child is looked after; who wants it again asks again. What is no message (a link, a monitor that
    /// is set, a trapped exit that is not) leaves it alone. Asked for again in the same handler, the last counts.
    /// In `init` it works too.
    ///
    /// A time of zero is over at once, unless a message waits already, which is handled instead. Never early.
    ///
    /// What it costs it costs who uses it: a timer for each wait that begins with an empty mailbox.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// struct Session;
    /// enum Msg { Input, Idle }
    ///
    /// impl Actor for Session {
    ///     type Args = ();
    ///     type Msg = Msg;
    ///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         cx.idle_timeout(Duration::from_secs(60), Msg::Idle);
    ///         Ok(Session)
    ///     }
    ///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match msg {
    ///             Msg::Input => cx.idle_timeout(Duration::from_secs(60), Msg::Idle),
    ///             Msg::Idle => cx.stop(ExitReason::Normal),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let session = rt.start::<Session>(()).await?;
    ///     rt.sleep(Duration::from_secs(59)).await;
    ///     session.cast(Msg::Input)?;
    ///     rt.down(&session).await;
    ///     assert_eq!(rt.uptime(), Duration::from_secs(59 + 60));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// In a process in the process form, which waits by [`Mailbox::recv_timeout`](crate::Mailbox::recv_timeout).
    pub fn idle_timeout(&mut self, after: Duration, msg: A::Msg) {
        assert!(
            !const { A::FORM.is_process() },
            "a process in the process form has no idle timeout: `recv_timeout` waits with a limit"
        );
        // SAFETY: see above the impl.
        unsafe { idle::ask(self.own(), after, msg) };
    }

    /// Handles `msg` next, before any other message.
    pub fn continue_with(&mut self, msg: A::Msg) {
        // First, since it may panic.
        let cell = self.own();
        let node = message::uncounted(msg);
        // SAFETY: see above the impl: the turn holds no reference to the cursor while a handler runs. A fresh message
        // node of the actor's own type, given up.
        unsafe { lane::push_front(cell, node) };
    }

    /// Sends an exit signal, to another process or to this one.
    pub fn exit(&mut self, to: impl Target, reason: ExitReason) {
        if let Some(target) = self.cell.shared().find(&to) {
            signal::send_exit(target.ptr(), Some(self.pid()), reason, false);
        }
    }

    /// Ends this process in order after this handler, which may go on. The first reason counts. In the process
    /// form the body may go on to its next await, where it is dropped.
    pub fn stop(&mut self, reason: ExitReason) {
        end::doom(self.own(), reason, How::Own);
    }

    /// Makes this process a parent that supervises: `on_down` runs when a child that was spawned with
    /// [`spawn_child`](Self::spawn_child) ends by itself: at once, or after a suspended handler.
    /// Called in `init`.
    ///
    /// # Panics
    /// When `init` is over; in a process in the process form, which supervises no children.
    pub fn supervise(&mut self, on_down: fn(&mut A, ChildDown, &mut Context<A>)) {
        // SAFETY: see above the impl.
        unsafe { children::supervise(self.own_as_parent(), on_down) };
    }

    /// Starts a process that this one supervises. `ack` is answered by the process when its `init` is
    /// done, or for it when it fails.
    ///
    /// # Errors
    /// The reason why no process was made; `ack` was told.
    ///
    /// # Panics
    /// If [`supervise`](Self::supervise) was not called; in a process in the process form.
    pub fn spawn_child<B: Actor>(
        &mut self,
        args: B::Args,
        options: SpawnOptions,
        info: Option<StartInfo>,
        ack: Option<StartReply<B::Msg>>,
    ) -> Option<(ChildKey, ActorRef<B::Msg>)> {
        let shared = self.cell.shared();
        // SAFETY: see above the impl.
        let Some(set) = (unsafe { children::of(self.own_as_parent()) }) else {
            panic!("`spawn_child` before `supervise`");
        };
        match spawn::spawn::<B>(
            shared,
            args,
            options,
            info,
            ack,
            Relation::Supervised(self.cell, set),
        ) {
            Ok(Spawned { cell, key }) => key.map(|key| (key, ActorRef::from_cell(cell))),
            Err(refused) => {
                let _ = refused.answer(shared);
                None
            }
        }
    }

    /// Children that this process supervises and that it was not told the end of.
    pub fn child_count(&self) -> usize {
        // SAFETY: see above the impl: it is read.
        unsafe { children::look(self.own()) }.map_or(0, |set| set.count())
    }

    /// The child of this pid, if it is one.
    pub fn child_key(&self, pid: Pid) -> Option<ChildKey> {
        let child = self.cell.shared().resolve(pid)?;
        // SAFETY: see above the impl: it is read.
        unsafe { children::key_of(self.own(), child.ptr()) }
    }

    /// The pid of a child.
    pub fn child_pid(&self, key: ChildKey) -> Option<Pid> {
        // SAFETY: see above the impl: it is read.
        unsafe { children::look(self.own()) }.and_then(|set| set.get(key)).map(CellPtr::pid)
    }

    /// Stops one child and waits until it has ended. Its end is not reported to `on_down`.
    ///
    /// # Panics
    /// In a process in the process form, which supervises no children.
    pub fn stop_child(&mut self, key: ChildKey, how: Stop) -> StopChild<'_> {
        StopChild::new(self.own_as_parent(), key, how)
    }

    /// Stops all children in parallel and waits until the last has ended, see
    /// [`StopChildren`]. Their ends are counted, not reported to `on_down`.
    ///
    /// # Panics
    /// As for [`stop_child`](Self::stop_child).
    pub fn stop_children(&mut self, how: Stop) -> StopChildren<'_> {
        StopChildren::new(self.own_as_parent(), how)
    }
}

impl<A: Actor> Spawner<'_, A> {
    fn parent(&self) -> Relation<'static> {
        Relation::Plain(Some(self.cx.pid()))
    }

    fn go<B: Actor>(
        self,
        args: B::Args,
        ack: Option<StartReply<B::Msg>>,
        how: Relation<'_>,
    ) -> ActorRef<B::Msg> {
        let shared = self.cx.cell.shared();
        match spawn::spawn::<B>(shared, args, self.options, None, ack, how) {
            Ok(spawned) => ActorRef::from_cell(spawned.cell),
            Err(refused) => refused.answer(shared),
        }
    }

    /// As [`Context::spawn`].
    pub fn spawn<B: Actor>(self, args: B::Args) -> ActorRef<B::Msg> {
        let parent = self.parent();
        self.go::<B>(args, None, parent)
    }

    /// As [`Context::spawn_link`].
    pub fn spawn_link<B: Actor>(self, args: B::Args) -> ActorRef<B::Msg> {
        let parent = Relation::Linked(self.cx.own());
        self.go::<B>(args, None, parent)
    }

    /// As [`Context::spawn_monitor`].
    pub fn spawn_monitor<B: Actor>(
        self,
        args: B::Args,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> (ActorRef<B::Msg>, MonitorRef) {
        let cell = self.cx.own();
        spawn::monitored::<B, A::Msg>(cell.shared(), cell, args, self.options, f)
    }

    /// As [`Context::spawn_fn`].
    pub fn spawn_fn<M, F, Fut>(self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.spawn::<Body<M, F, Fut>>(f)
    }

    /// As [`Context::spawn_fn_link`].
    pub fn spawn_fn_link<M, F, Fut>(self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.spawn_link::<Body<M, F, Fut>>(f)
    }

    /// As [`Context::start`].
    pub fn start<B: Actor>(self, args: B::Args) -> Start<B::Msg> {
        let (reply, answer) = oneshot();
        let parent = self.parent();
        let process = self.go::<B>(args, Some(reply), parent).into_cell();
        Start::of(process, None, answer)
    }

    /// As [`Context::start_link`].
    pub fn start_link<B: Actor>(self, args: B::Args) -> Start<B::Msg> {
        let (reply, answer) = oneshot();
        let me = self.cx.own();
        let process = self.go::<B>(args, Some(reply), Relation::Linked(me)).into_cell();
        Start::of(process, Some(me.to_ref()), answer)
    }
}

impl<A> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.cell.pid())
    }
}

impl<A> fmt::Debug for Spawner<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spawner({:?}, {:?})", self.cx, self.options)
    }
}
