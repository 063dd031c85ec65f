//! How closely processes are watched, and what is kept of one that is.
//!
//! # Levels
//!
//! | level | what is known beside counters | cost |
//! | --- | --- | --- |
//! | [`Counts`](Level::Counts) | - | none |
//! | [`Times`](Level::Times) | for how long each process ran | two looks at the clock a turn, 60 ns |
//! | [`Full`](Level::Full) | since when a message is in hand, and its name | some 100 ns a message |
//!
//! # Who notices what, and when
//!
//! The level is the runtime's. Each process carries it in its owner's notes: `TIMED` sends its turns through
//! [`timed_turn`], `OBSERVED` its messages the long way round (`run/observed.rs`), as those of an observed simulated
//! process. Only the owner writes its notes; so who changes the level, or begins a trace, leaves the flag `LEVEL` with
//! the process, and the owner looks ([`attend`]) before its next message. An idle process is not woken for it: nothing
//! of it is to be seen before it runs. A new process is left the flag if there is a level; one that was being made
//! while the level changed may have missed it, and is told by the next walk.
//!
//! ```text
//!   set_level, trace, end of a trace ──flag──▶ attend ──▶ TIMED, OBSERVED, Watch
//! ```
//!
//! # What is kept
//!
//! A [`Watch`], in the part of the cell that few have: made when a process is watched, or suspends with a message that
//! has a name. Its rings have a lock, which the owner takes for each event of a watched process and readers for a
//! copy; no code of the user's runs under it.
#![expect(unsafe_code, reason = "runs the turn that it times")]

use std::{collections::VecDeque, sync::Arc};

use whitebeam_scheduler::{Ran, Turn};
use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    seen::{Handled, InHand},
    trace::{Ring, Traced},
};
use crate::{
    cell::{CellPtr, bit, flag},
    ext::Ext,
    local,
    shared::Shared,
    simulate::Event,
};

/// How much a runtime keeps about its processes: [`Handle::set_level`](crate::Handle::set_level).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Level {
    /// What each process counts anyway.
    #[default]
    Counts,
    /// And for how long it ran: [`Info::busy`](crate::Info::busy). Two looks at the clock a turn, and two writes that
    /// nobody waits for. A process that has run at this level keeps some hundred bytes more, also when it is set back.
    Times,
    /// And since when it has the message in hand, and what that is called, also where it is not suspended:
    /// [`Info::in_hand_for`](crate::Info::in_hand_for). Each message goes the long way round its loop, which costs some
    /// hundred nanoseconds.
    Full,
}

impl Level {
    pub(super) fn to_bits(self) -> u32 {
        match self {
            Level::Counts => 0,
            Level::Times => 1,
            Level::Full => 2,
        }
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Level::Counts,
            1 => Level::Times,
            _ => Level::Full,
        }
    }
}

/// What is kept of a process that is watched.
#[derive(Default)]
pub(crate) struct Watch {
    /// The message in hand of a handler that is suspended, or of any at [`Level::Full`].
    pub(crate) in_hand: InHand,
    /// Time of its turns in nanoseconds. Written by the owner.
    busy: AtomicU64,
    /// Whether any of what is in `rings` is on. Written by the owner.
    is_on: AtomicBool,
    rings: Mutex<Rings>,
}

#[derive(Default)]
struct Rings {
    is_full: bool,
    last: Option<Last>,
    traces: Vec<Arc<Ring>>,
}

/// Names of the last messages.
struct Last {
    most: usize,
    names: VecDeque<&'static str>,
}

impl Rings {
    fn is_on(&self) -> bool {
        self.is_full || self.last.is_some() || !self.traces.is_empty()
    }
}

impl Watch {
    pub(crate) fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Names of the last messages, oldest first.
    pub(crate) fn last(&self) -> Vec<&'static str> {
        let rings = self.rings.lock();
        rings.last.iter().flat_map(|last| last.names.iter().copied()).collect()
    }

    /// Bytes of this and of what it has allocated, without traces, which are their readers'.
    pub(crate) fn bytes(&self) -> usize {
        let rings = self.rings.lock();
        let last = rings.last.as_ref().map_or(0, |last| last.names.capacity());
        size_of::<Self>()
            + last * size_of::<&str>()
            + rings.traces.capacity() * size_of::<Arc<Ring>>()
    }
}

/// Has the process keep the names of its last messages. Called by the spawner, before it is published.
pub(crate) fn keep_last(cell: CellPtr, most: usize) {
    let watch = Ext::watch(cell);
    let last = Last { most, names: VecDeque::new() };
    watch.rings.lock().last = Some(last);
    watch.is_on.store(true, Ordering::Relaxed);
    cell.header().set(bit::OBSERVED);
}

/// The process is to look how closely it is watched. Called by its owner.
#[cold]
pub(crate) fn attend(cell: CellPtr) {
    let (header, shared) = (cell.header(), cell.shared());
    let level = shared.inspection().level();
    let traces = shared.inspection().traces_of(cell.pid());
    let is_full = level == Level::Full;
    let mut is_on = false;
    if is_full || !traces.is_empty() || Ext::watched_of(cell).is_some() {
        let watch = Ext::watch(cell);
        let mut rings = watch.rings.lock();
        rings.is_full = is_full;
        rings.traces = traces;
        is_on = rings.is_on();
        watch.is_on.store(is_on, Ordering::Relaxed);
    }
    if is_on || shared.observed().is_some() {
        header.set(bit::OBSERVED);
    } else {
        header.clear(bit::OBSERVED);
    }
    time_turns(cell, level >= Level::Times);
}

/// Has the time of the turns to come be taken, or not. Called by the owner.
fn time_turns(cell: CellPtr, is_on: bool) {
    let header = cell.header();
    if is_on {
        header.flags.put(flag::TIMED);
        header.set(bit::TURNS);
        return;
    }
    let _ = header.flags.take(flag::TIMED);
    if header.flags.get() & (flag::PACED | flag::ABOVE) == 0 {
        header.clear(bit::TURNS);
    }
}

/// Whether the owner's notes say what the level does; if not, it is told. By a walk.
pub(super) fn remind(cell: CellPtr, level: Level) {
    let is_timed = cell.header().flags.get() & flag::TIMED != 0;
    let is_told = is_timed == (level >= Level::Times);
    if !is_told {
        cell.header().flags.put(flag::LEVEL);
    }
}

/// A turn whose time is taken. Called by the run, instead of what it does.
#[cold]
#[inline(never)]
pub(crate) fn timed_turn(cell: CellPtr, turn: &mut Turn<'_>) -> Ran {
    let now = || cell.shared().scheduler().now().as_nanos();
    let begun = now();
    // So that the turn is one of those whose time is not taken.
    let _ = cell.header().flags.take(flag::TIMED);
    // SAFETY: the right to run it is the caller's, and used up by this.
    let ran = unsafe { (cell.vt().run.run)(cell.cast(), turn) };
    // Else the cell may be gone, and what keeps the runtime with it.
    if ran == Ran::Done || cell.header().has(bit::ENDED) {
        return ran;
    }
    time_turns(cell, cell.shared().inspection().level() >= Level::Times);
    let busy = &Ext::watch(cell).busy;
    busy.store(busy.load(Ordering::Relaxed) + now().saturating_sub(begun), Ordering::Relaxed);
    ran
}

/// The watch of a process, if anything of it is on.
fn watch_of<'a>(cell: CellPtr) -> Option<&'a Watch> {
    Ext::watched_of(cell).filter(|watch| watch.is_on.load(Ordering::Relaxed))
}

fn now(shared: &Shared) -> u64 {
    shared.scheduler().now().as_nanos()
}

/// A watched process takes a message of type `of`. Called by its owner, on the long way round.
pub(crate) fn takes(cell: CellPtr, name: Option<&'static str>, of: &'static str, is_request: bool) {
    let Some(watch) = watch_of(cell) else { return };
    let mut rings = watch.rings.lock();
    if let Some(last) = &mut rings.last {
        if last.names.len() >= last.most {
            last.names.pop_front();
        }
        if last.most > 0 {
            last.names.push_back(name.unwrap_or(of));
        }
    }
    if !rings.is_full && rings.traces.is_empty() {
        return;
    }
    let now = now(cell.shared());
    if rings.is_full {
        watch.in_hand.set(cell, Handled { name, since: Some(now) });
    }
    for ring in &rings.traces {
        ring.push(now, Traced::Message { name: name.unwrap_or(of), is_request });
    }
}

/// Something has happened to a process that is watched, or observed. Called by its owner.
#[cold]
pub(crate) fn note(cell: CellPtr, event: &Event<'_>) {
    let Some(watch) = watch_of(cell) else { return };
    if let Event::Leaves { is_suspended: false, .. } = event {
        handled_here(cell, watch);
    }
    let traces = watch.rings.lock().traces.clone();
    if traces.is_empty() {
        return;
    }
    if let Some(traced) = Traced::of(event) {
        let now = now(cell.shared());
        traces.iter().for_each(|ring| ring.push(now, traced.clone()));
    }
}

/// The end that comes next may ask what was in hand.
fn handled_here(cell: CellPtr, watch: &Watch) {
    if !cell.header().has(bit::DOOMED) {
        watch.in_hand.clear();
    }
}

/// A handler of a message of this name is about to run. Costs nothing without a name.
#[inline]
pub(crate) fn begins(cell: CellPtr, name: Option<&'static str>) {
    if name.is_some() {
        local::takes(cell, name);
    }
}

/// It has finished.
#[inline]
pub(crate) fn ends(cell: CellPtr, name: Option<&'static str>) {
    if name.is_some() && !cell.header().has(bit::DOOMED) {
        local::handled();
    }
}

/// It is suspended.
#[inline]
pub(crate) fn stays(cell: CellPtr, name: Option<&'static str>) {
    if name.is_some() {
        stays_named(cell, name);
    }
}

#[cold]
fn stays_named(cell: CellPtr, name: Option<&'static str>) {
    local::handled();
    let watch = Ext::watch(cell);
    if watch.in_hand.read(cell).is_none() {
        watch.in_hand.set(cell, Handled { name, since: None });
    }
}

/// The handler has decided the end, whose `terminate` is suspended.
#[cold]
pub(crate) fn stays_to_the_end(cell: CellPtr) {
    let name = local::in_hand(cell).and_then(|in_hand| in_hand.name);
    stays(cell, name);
}

/// A handler that was suspended has finished.
#[inline]
pub(crate) fn resumed_and_done(cell: CellPtr) {
    if let Some(watch) = Ext::watched_of(cell) {
        handled_here(cell, watch);
    }
}

/// The name of the message that a process had in hand when it ended. Called by its owner, where it ran.
pub(crate) fn in_hand_here(cell: CellPtr) -> Option<&'static str> {
    let kept = || Ext::watched_of(cell).and_then(|watch| watch.in_hand.read(cell));
    local::in_hand(cell).or_else(kept)?.name
}

/// What a process has in hand, as far as it can be seen. Anyone may ask who keeps the cell.
pub(crate) fn in_hand(cell: CellPtr) -> Option<Handled> {
    let kept = Ext::watched_of(cell).and_then(|watch| watch.in_hand.read(cell));
    kept.or_else(|| cell.shared().inspection().workers().lock().in_hand(cell))
}
