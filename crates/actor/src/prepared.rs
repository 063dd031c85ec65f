//! Processes that are made in one place and begin in another: their maker knows them, and is linked to them, before
//! their supervisor has them.
//!
//! # States
//!
//! ```text
//!   prepare             adopt
//!   ------> prepared ---------> a child, scheduled: from here on as any other
//!               \
//!                \ drop
//!                 `-----------> ended, `NoProc`, without having run
//! ```
//!
//! # Who may do what
//!
//! | who | does what to a prepared process | why that is right |
//! | --- | --- | --- |
//! | who has the [`Prepared`] | whatever its owner may: `adopt` and `drop` write the owner's part | it is one value, that both take; its cell is owned as by a run (`cell.rs`) |
//! | others, by its pid or name | push messages and signals, raise flags | its inbox has the init node in it, and so is not idle: a push is `Queued`, and nobody is asked to schedule it, nor may claim it to end it inline |
//! | others | read the header as a hint | as of any published cell; the parent is the one that `prepare` has written, since `adopt` takes no other |
//!
//! It has both references that a spawn makes: that of the process, which `adopt` gives to the run, and that of who
//! spawns it, which is the [`Prepared`]'s own. The owner of its link has a third.
//!
//! # Orderings
//!
//! There is no word of this file's own. What the maker has written comes to who adopts or drops it by what moves the
//! value (a message: the inbox's release and acquire), and to those who find the pid by the slot's publishing
//! (`slab.rs`). What others have pushed comes to its first run, or to its end, by the inbox's word, as ever.
//!
//! # What may come in between
//!
//! * A kill, an exit signal, the end of the process that it is linked to: they wait in the inbox. The first run finds
//!   them ahead of the init node; the end that `drop` makes is already decided and drops them.
//! * The end of who was to adopt it: the message it is in is disposed of, and it with that.
//! * The end of the runtime: it is told as a process that nobody supervises, and counted, once. If it is on its way, it
//!   ends with who has it. If code outside of any process keeps it, nobody can end it: the shutdown waits until its
//!   time is over, and reports it as left behind.
//! * A scheduler that has stopped: `adopt` schedules it, and is handed it back at once ([`end::dropped`]).
//! * A panic: `drop` contains that of a destructor of what it was to begin with. `adopt` takes the value apart behind
//!   all that may refuse.
//!
//! # Checked by
//! `models::prepared` (loom), `tests/it/prepared.rs`.
#![expect(unsafe_code, reason = "owns cells that are not scheduled yet")]

use std::{fmt, future::Future, mem::ManuallyDrop};

use whitebeam_sync::node::Node;

use crate::{
    Actor, ChildKey, Context, ExitReason, Handle, Mailbox, Pid, SpawnOptions, StartError,
    cell::{CellPtr, CellRef},
    children::{self, ChildSet},
    contain::contain,
    end, local,
    process::Body,
    shared::Shared,
    spawn::{self, Relation},
};

/// A process in the process form that does not run yet, for who writes supervisors: made by
/// [`Handle::prepare_fn`] or [`Context::prepare_fn_link`](crate::Context::prepare_fn_link), it begins when a supervisor
/// takes it by [`Context::adopt`](crate::Context::adopt). It can be linked, monitored and told to exit meanwhile.
///
/// Dropped, it ends without having run, with `NoProc`. Kept where nobody drops it, it keeps a runtime's shutdown waiting:
/// it cannot be ended but by who has it.
///
/// ```
/// use whitebeam_actor::{Actor, Context, ExitReason, Mailbox, Prepared, Runtime, SpawnOptions};
///
/// struct Parent;
///
/// impl Actor for Parent {
///     type Args = ();
///     type Msg = Prepared;
///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
///         cx.supervise(|_, _, _| {});
///         Ok(Parent)
///     }
///     async fn handle(&mut self, child: Prepared, cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         let _ = cx.adopt(child);
///         Ok(())
///     }
/// }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let parent = rt.start::<Parent>(()).await?;
///     let body = |_: Mailbox<()>| async { Ok(()) };
///     let child = rt.prepare_fn(parent.pid(), SpawnOptions::new(), body)?;
///     let end = rt.down(child.pid());
///     parent.cast(child)?;
///     assert!(end.await.reason.is_normal());
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a prepared process that is dropped never runs"]
pub struct Prepared {
    /// That of who spawns it; that of the process is counted beside.
    cell: ManuallyDrop<CellRef>,
}

impl Prepared {
    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.cell.ptr().pid()
    }

    /// Its own reference; that of the process is the caller's to give.
    fn into_ref(self) -> CellRef {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once: `drop` does not run.
        unsafe { ManuallyDrop::take(&mut this.cell) }
    }

    /// Makes it a child of `parent`, and schedules it.
    ///
    /// # Errors
    /// This, back: it was prepared for another parent.
    ///
    /// # Safety
    /// `set` is the children of `parent`, which the caller owns.
    unsafe fn adopt_by(self, parent: CellPtr, set: &mut ChildSet) -> Result<ChildKey, Prepared> {
        // A parent and its children are of one runtime: `prepare` has seen to that for this pid.
        if self.cell.ptr().header().parent_pid() != Some(parent.pid()) {
            return Err(self);
        }
        let spawner = self.into_ref();
        let cell = spawner.ptr();
        let key = set.add(parent, cell);
        cell.schedule();
        Ok(key)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: taken once.
        let spawner = unsafe { ManuallyDrop::take(&mut self.cell) };
        let cell = spawner.ptr();
        // The cell may be the last to keep it.
        let shared = cell.shared().arc();
        if let Some(init) = end::take_init(cell) {
            // SAFETY: taken out of the mailbox, unread.
            let vt = unsafe { Node::vt(init) };
            // Before anybody is told of the end, and as what is dropped at this place: who waits for an answer gets the
            // reason of the process whose message it was in.
            // SAFETY: as above.
            let _ = contain(|| unsafe { (vt.dispose)(init) });
        }
        local::apart(|| end::finish_here(cell, ExitReason::NoProc));
        drop(spawner);
        drop(shared);
    }
}

/// Makes the process.
///
/// # Safety
/// The caller is the owner of `linked`, and holds no reference to its part.
unsafe fn prepare<A: Actor>(
    shared: &Shared,
    parent: Pid,
    options: SpawnOptions,
    linked: Option<CellPtr>,
    args: A::Args,
) -> Result<Prepared, StartError> {
    if parent != Pid::NOBODY && parent.tag() != shared.tag() {
        return Err(StartError::NoSupervisor);
    }
    let relation = Relation::Prepared(parent, linked);
    match spawn::make::<A>(shared, args, options, None, None, relation, |_| ()) {
        Ok(made) => Ok(Prepared { cell: ManuallyDrop::new(made.cell) }),
        Err(refused) => Err(refused.into_why()),
    }
}

impl Handle {
    /// Makes a process in the process form that begins when a supervisor [adopts](crate::Context::adopt) it: for who
    /// writes supervisors. `parent` is that supervisor's pid, and what the process's
    /// [`parent`](crate::Context::parent) says. It has the name in the options, if there is one, from now on.
    ///
    /// # Errors
    /// Why no process was made: as for a start; [`NoSupervisor`](StartError::NoSupervisor) if `parent` is another
    /// runtime's. `f` was dropped.
    pub fn prepare_fn<M, F, Fut>(
        &self,
        parent: Pid,
        options: SpawnOptions,
        f: F,
    ) -> Result<Prepared, StartError>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.prepare::<Body<M, F, Fut>>(parent, options, f)
    }

    /// The same, of any process.
    pub(crate) fn prepare<A: Actor>(
        &self,
        parent: Pid,
        options: SpawnOptions,
        args: A::Args,
    ) -> Result<Prepared, StartError> {
        // SAFETY: it is linked to nobody.
        unsafe { prepare::<A>(self.shared(), parent, options, None, args) }
    }
}

impl<A: Actor> Context<A> {
    /// Takes a process that was prepared as one that this supervises, and has it begin. As
    /// [`spawn_child`](Self::spawn_child) otherwise.
    ///
    /// # Errors
    /// The process, back: it was prepared for another parent.
    ///
    /// # Panics
    /// As for [`spawn_child`](Self::spawn_child); the process ends without having run.
    pub fn adopt(&mut self, child: Prepared) -> Result<ChildKey, Prepared> {
        // SAFETY: a context is its process's, whose code has it borrowed: the owner, without another reference there.
        let Some(set) = (unsafe { children::of(self.own_as_parent()) }) else {
            panic!("`adopt` before `supervise`");
        };
        // SAFETY: as above: its own children.
        unsafe { child.adopt_by(self.cell(), set) }
    }

    /// As [`Handle::prepare_fn`]; the process is linked to this one.
    ///
    /// # Errors
    /// As for that; nobody is linked then.
    pub fn prepare_fn_link<M, F, Fut>(
        &mut self,
        parent: Pid,
        options: SpawnOptions,
        f: F,
    ) -> Result<Prepared, StartError>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.prepare_link::<Body<M, F, Fut>>(parent, options, f)
    }

    /// The same, of any process.
    pub(crate) fn prepare_link<B: Actor>(
        &mut self,
        parent: Pid,
        options: SpawnOptions,
        args: B::Args,
    ) -> Result<Prepared, StartError> {
        let owner = self.own();
        // SAFETY: as for `adopt`.
        unsafe { prepare::<B>(owner.shared(), parent, options, Some(owner), args) }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({})", self.pid())
    }
}
