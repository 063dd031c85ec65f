//! Making processes.
#![expect(unsafe_code, reason = "initialises cells and owns them until they are scheduled")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ptr::NonNull,
};

use whitebeam_sync::{
    node::{Node, NodeVt},
    shim::atomic::Ordering,
};

use crate::{
    Actor, ActorRef, ExitReason, Name, Pid, SpawnOptions, StartError, StartInfo, StartReply,
    cell::{self, CellPtr, CellRef, Header, bit, flag},
    children::{ChildKey, ChildSet, DOWN_VT},
    contain::contain,
    end,
    ext::Ext,
    link, local,
    message::tag,
    monitor::{self, Down, MonitorRef},
    names::{Claim, ViaClaim},
    run::Table,
    shared::Shared,
    simulate::{self, Event},
};

/// What a process is started with: the one node that is in its mailbox when it is published.
#[repr(C)]
struct InitNode<A: Actor> {
    node: Node,
    args: A::Args,
    ack: Option<StartReply<A::Msg>>,
}

impl<A: Actor> InitNode<A> {
    const LAYOUT: Layout = Layout::new::<Self>();
    const VT: NodeVt = NodeVt {
        tag: tag::INIT,
        counted: false,
        urgent: false,
        detach: false,
        free: free::<A>,
        dispose: dispose::<A>,
    };
}

unsafe fn free<A: Actor>(node: NonNull<Node>) {
    // SAFETY: allocated by `publish` with this layout.
    unsafe { dealloc(node.as_ptr().cast(), InitNode::<A>::LAYOUT) };
}

unsafe fn dispose<A: Actor>(node: NonNull<Node>) {
    // SAFETY: the body of an init node that did not run is still there.
    let body = unsafe { node.cast::<InitNode<A>>().read() };
    // SAFETY: moved out just above.
    unsafe { free::<A>(node) };
    drop(body);
}

/// Moves out what the process is started with, and frees the node.
///
/// # Safety
/// `node` is the init node of `cell`, which was spawned as an `A`, and the caller owns the cell.
pub(crate) unsafe fn take_init<A: Actor>(
    cell: CellPtr,
    node: NonNull<Node>,
) -> (A::Args, Option<StartReply<A::Msg>>) {
    // SAFETY: the caller's word; it is taken once.
    let body = unsafe { node.cast::<InitNode<A>>().read() };
    // SAFETY: as above.
    unsafe { cell.cursor().retire(node) };
    (body.args, body.ack)
}

/// How a new process is related to the one that spawns it.
pub(crate) enum Relation<'a> {
    /// Not at all; its parent is told, if it has one.
    Plain(Option<Pid>),
    /// The spawner keeps it in its table and is told of its end.
    Supervised(CellPtr, &'a mut ChildSet),
    /// Linked to the spawner.
    Linked(CellPtr),
    /// Monitored by the spawner under this number.
    Monitored(CellPtr, u64),
    /// Not yet: it is to become a child of this process, if it is one's, and is linked to that one, as which the caller
    /// runs. See [`prepared`](crate::prepared).
    Prepared(Pid, Option<CellPtr>),
}

impl Relation<'_> {
    fn parent(&self) -> Option<Pid> {
        match self {
            Relation::Plain(parent) => *parent,
            Relation::Prepared(parent, _) => Some(*parent).filter(|parent| *parent != Pid::NOBODY),
            Relation::Supervised(parent, _)
            | Relation::Linked(parent)
            | Relation::Monitored(parent, _) => Some(parent.pid()),
        }
    }
}

/// What a spawn gives.
pub(crate) struct Spawned {
    pub(crate) cell: CellRef,
    pub(crate) key: Option<ChildKey>,
}

/// Makes a process and schedules it. Its `init` runs in it.
///
/// # Errors
/// As for [`make`].
#[inline]
pub(crate) fn spawn<A: Actor>(
    shared: &Shared,
    args: A::Args,
    options: SpawnOptions,
    info: Option<StartInfo>,
    ack: Option<StartReply<A::Msg>>,
    relation: Relation<'_>,
) -> Result<Spawned, Refused<A>> {
    let schedule = |cell: CellPtr| shared.scheduler().schedule(cell.runnable());
    make::<A>(shared, args, options, info, ack, relation, schedule)
}

/// Makes a process, and gives it to `begin` when all is ready but for its being scheduled. Who does not schedule it
/// there owns it until it does. The cell has two references then, that of the process and the one that is given.
///
/// # Errors
/// When no process can be made (the runtime is shutting down, the process table is full, the name is
/// taken) all comes back with the reason why, to be [answered](Refused::answer).
///
/// The cell is published first, then its name, then it is scheduled: who finds the name finds the process, and
/// what it is sent waits for `init`. A name of the runtime's own is reserved before there is a cell. A via name is
/// asked for behind the publishing, without a lock, and before the process is related to anybody.
pub(crate) fn make<A: Actor>(
    shared: &Shared,
    args: A::Args,
    mut options: SpawnOptions,
    info: Option<StartInfo>,
    ack: Option<StartReply<A::Msg>>,
    relation: Relation<'_>,
    begin: impl FnOnce(CellPtr),
) -> Result<Spawned, Refused<A>> {
    if shared.is_closing() {
        return Err(Refused { args, ack, why: StartError::ShuttingDown });
    }
    let (name, label);
    let (extras, claim) = if options.is_plain() {
        (name, label) = (None, None);
        (None, None)
    } else {
        let extras = options.take_extras(const { &Table::<A>::VT.message });
        (name, label) = options.into_parts();
        let claimed = extras.and_then(|extras| {
            let claim = name.as_ref().map(|name| shared.names().claim(name)).transpose()?;
            Ok((extras, claim))
        });
        match claimed {
            Ok(both) => both,
            Err(why) => return Err(Refused { args, ack, why }),
        }
    };
    let class = const { cell::class_of::<A>() };
    let Some(slot) = shared.alloc_slot(class) else {
        return Err(Refused { args, ack, why: StartError::TableFull });
    };
    let pid = Pid::new(shared.tag(), slot.index, slot.generation);
    let init = init_node::<A>(args, ack);
    let header = slot.ptr.cast::<Header>();
    // What is in the process form has no `init`: it begins with its body.
    let init_bit = const { if A::FORM.is_process() { 0 } else { bit::INIT } };
    let looked_at = shared.inspection().of_new();
    let bits = init_bit | (looked_at & bit::OBSERVED);
    // SAFETY: a fresh slot of at least a header's size and the state's.
    unsafe { Header::init(header, const { &Table::<A>::VT }, bits, Node::new(&DOWN_VT), init) };
    // SAFETY: initialised just above; allocated until its references are gone.
    let cell = unsafe { CellPtr::new(header) };
    if looked_at & flag::LEVEL != 0 {
        cell.header().flags.put(flag::LEVEL);
    }
    if let Some(info) = info {
        Ext::set_start_info(cell, info);
    }
    if label.is_some() {
        Ext::set_label(cell, label);
    }
    if let Some(extras) = extras {
        extras.bound(cell, name.as_ref());
        // SAFETY: nobody else knows the cell.
        extras.apply(cell, unsafe { Ext::of(cell) });
    }
    let (reserved, is_published) = match claim {
        None => (None, false),
        Some(Claim::Own(reserved)) => (Some(reserved), false),
        Some(Claim::Via(claim)) => {
            let parent = relation.parent().map_or(0, Pid::to_bits);
            cell.header().parent.store(parent, Ordering::Relaxed);
            // SAFETY: this slot, initialised, not published yet.
            unsafe { shared.slab().publish(slot, 2) };
            // SAFETY: not scheduled; its references are those two.
            unsafe { give_via::<A>(cell, claim) }?;
            (None, true)
        }
    };
    let mut key = None;
    // One reference for the process, one for who spawns it.
    let mut refs = 2;
    match relation {
        Relation::Plain(parent) => {
            let bits = parent.map_or(0, Pid::to_bits);
            cell.header().parent.store(bits, Ordering::Relaxed);
        }
        Relation::Supervised(parent, set) => key = Some(set.add(parent, cell)),
        Relation::Linked(parent) => {
            cell.header().parent.store(parent.pid().to_bits(), Ordering::Relaxed);
            // The spawner's side of the link.
            refs += 1;
            // SAFETY: the spawner owns both cells: the new one is not scheduled.
            unsafe { link::link_at_spawn(parent, cell, pid) };
        }
        Relation::Monitored(parent, id) => {
            cell.header().parent.store(parent.pid().to_bits(), Ordering::Relaxed);
            // The spawner's side of the monitor.
            refs += 1;
            // SAFETY: as above.
            unsafe { monitor::monitor_at_spawn(parent, cell, id) };
        }
        Relation::Prepared(parent, linked) => {
            cell.header().parent.store(parent.to_bits(), Ordering::Relaxed);
            if let Some(owner) = linked {
                // The owner's side of the link.
                refs += 1;
                // SAFETY: the caller runs as the owner, and owns the new one, which is not scheduled.
                unsafe { link::link_at_spawn(owner, cell, pid) };
            }
        }
    }
    if is_published {
        // The relation's.
        (2..refs).for_each(|_| cell.header().slot.acquire());
    } else {
        // SAFETY: this slot, initialised, not published yet.
        unsafe { shared.slab().publish(slot, refs) };
    }
    if let Some(reserved) = reserved {
        reserved.give(cell);
    }
    if looked_at & bit::OBSERVED != 0 {
        tell_of_spawn(cell, name.as_ref());
    }
    let spawned = Spawned { cell: CellRef::adopt(cell), key };
    begin(cell);
    Ok(spawned)
}

/// Has a process given its name by a registry, whose code may find it by then. If it is refused, the process ends
/// before it is related to anybody and without having run: nothing is left of it, and nobody is told but who has
/// found it.
///
/// # Safety
/// The caller owns `cell`, an `A`'s, which is published and not scheduled, and has one of its two references.
#[cold]
unsafe fn give_via<A: Actor>(cell: CellPtr, claim: ViaClaim<'_>) -> Result<(), Refused<A>> {
    let by_spawner = CellRef::adopt(cell);
    let Err(error) = claim.give(&by_spawner) else {
        by_spawner.into_ptr();
        return Ok(());
    };
    // SAFETY: the caller owns the cell, and this is the only reference to the cursor.
    let Some(init) = (unsafe { cell.cursor() }).pop() else {
        unreachable!("it is made with its init node, and has not run")
    };
    // SAFETY: the init node of an `A`, by the caller's word.
    let (args, ack) = unsafe { take_init::<A>(cell, init) };
    // The observer has not been told of it.
    cell.header().clear(bit::OBSERVED);
    local::apart(|| end::finish_here(cell, ExitReason::NoProc));
    Err(Refused { args, ack, why: error.into() })
}

/// Tells the observer of a process that is not scheduled yet.
#[cold]
fn tell_of_spawn(cell: CellPtr, name: Option<&Name>) {
    // SAFETY: the caller owns the cell; it is read.
    let ext = unsafe { Ext::look(cell) };
    let event = Event::Spawned {
        pid: cell.pid(),
        parent: cell.header().parent_pid(),
        actor: (cell.vt().type_name)(),
        name,
        attempt: ext.and_then(|ext| ext.start_info.as_ref()).map_or(1, |info| info.attempt),
    };
    simulate::tell(cell.shared(), event);
}

fn init_node<A: Actor>(args: A::Args, ack: Option<StartReply<A::Msg>>) -> NonNull<Node> {
    let layout = InitNode::<A>::LAYOUT;
    // SAFETY: at least a node's size.
    let memory = unsafe { alloc(layout) }.cast::<InitNode<A>>();
    let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
    let node = Node::new(const { &InitNode::<A>::VT });
    // SAFETY: fresh memory of this layout.
    unsafe { memory.write(InitNode { node, args, ack }) };
    memory.cast()
}

/// No process was made.
pub(crate) struct Refused<A: Actor> {
    args: A::Args,
    ack: Option<StartReply<A::Msg>>,
    why: StartError,
}

impl<A: Actor> Refused<A> {
    /// Why; what it was to be started with is dropped.
    #[cold]
    pub(crate) fn into_why(self) -> StartError {
        self.why
    }

    /// Tells the starter, and gives an address that nobody is at.
    #[cold]
    pub(crate) fn answer(self, shared: &Shared) -> ActorRef<A::Msg> {
        // The user's: a panic in there must not keep the starter waiting.
        let _ = contain(|| drop(self.args));
        if let Some(ack) = self.ack {
            ack.send(Err(self.why));
        }
        ActorRef::from_cell(shared.nobody())
    }
}

/// `spawn_monitor`'s monitor: the number is taken before, so that the spawner's map is free meanwhile.
pub(crate) fn monitored<A: Actor, M: Send + 'static>(
    shared: &Shared,
    parent: CellPtr,
    args: A::Args,
    options: SpawnOptions,
    f: impl FnOnce(Down) -> M + Send + 'static,
) -> (ActorRef<A::Msg>, MonitorRef) {
    // SAFETY: called from the parent's context: by its owner.
    let id = unsafe { monitor::prepare(parent, f) };
    match spawn::<A>(shared, args, options, None, None, Relation::Monitored(parent, id)) {
        Ok(spawned) => (ActorRef::from_cell(spawned.cell), MonitorRef { owner: parent.pid(), id }),
        Err(refused) => {
            let nobody = refused.answer(shared);
            monitor::nobody_there(parent, id, nobody.pid());
            (nobody, MonitorRef { owner: parent.pid(), id })
        }
    }
}

/// An actor that is never run.
struct Nobody;

impl Actor for Nobody {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut crate::Context<Self>) -> Result<Self, crate::ExitReason> {
        Ok(Nobody)
    }

    async fn handle(
        &mut self,
        (): (),
        _cx: &mut crate::Context<Self>,
    ) -> Result<(), crate::ExitReason> {
        Ok(())
    }
}

/// A process that has ended before it began: its inbox is closed, its pid is nobody's.
///
/// # Panics
/// The process table cannot give its first slot: the address space is exhausted.
pub(crate) fn ended_process(shared: &Shared) -> CellRef {
    let class = const { cell::class_of::<Nobody>() };
    let Some(slot) = shared.alloc_slot(class) else {
        panic!("no slot is left in the process table, nor for an address of nobody")
    };
    let header = slot.ptr.cast::<Header>();
    let init = init_node::<Nobody>((), None);
    // SAFETY: a fresh slot of a cell's size.
    unsafe {
        Header::init(header, const { &Table::<Nobody>::VT }, bit::INIT, Node::new(&DOWN_VT), init)
    };
    // SAFETY: initialised just above; allocated until its references are gone.
    let cell = unsafe { CellPtr::new(header) };
    // SAFETY: this slot, initialised, not published yet. One reference for the process, one for us.
    unsafe { shared.slab().publish(slot, 2) };
    shared.inspection().made_outside(-1);
    local::apart(|| end::finish_here(cell, ExitReason::Normal));
    CellRef::adopt(cell)
}
