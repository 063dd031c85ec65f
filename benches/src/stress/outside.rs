//! What threads outside of the runtime do to its actors, and to runtimes of their own.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use whitebeam::{ExitReason, Handle, Runtime};

use crate::stress::actor::{Chaos, Limit, Msg, PANIC, Start, ask, cast};
use crate::stress::book::{Ev, Own};
use crate::stress::dice::Dice;
use crate::stress::round::{End, LONG, close_the_book, finish};
use crate::stress::tokens::{Load, Open};
use crate::stress::world::{Peer, World};

/// Messages in flight for each actor, from which on a thread outside waits.
const CROWDED: u64 = 2;
/// Actors of a runtime that a thread makes for itself.
const FEW: u64 = 32;

/// Wakes a thread that waits for a future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, which is no worker: none if it took longer than `limit`.
pub(crate) fn wait<T>(future: impl Future<Output = T>, limit: Duration) -> Option<T> {
    let deadline = Instant::now() + limit;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// A thread outside, as a sender.
struct Sender<'a> {
    rt: &'a Handle,
    world: &'a Arc<World>,
    dice: Dice,
    id: u64,
    sent: u64,
}

/// Drives the actors until it is told to stop.
pub(crate) fn drive(rt: &Handle, world: &Arc<World>, seed: u64, stop: &AtomicBool) {
    let id = world.next_id();
    let mut sender = Sender { rt, world, dice: Dice::new(seed), id, sent: 0 };
    while !stop.load(Relaxed) {
        if world.book.in_flight() > world.actors * CROWDED {
            thread::sleep(Duration::from_micros(50));
        }
        sender.act();
    }
}

impl Sender<'_> {
    fn load(&mut self) -> Load {
        self.sent += 1;
        Load::new(self.world, self.id, self.sent)
    }

    fn act(&mut self) {
        let peer = match self.world.peer(&mut self.dice) {
            // Now and then those that have ended too.
            Some(peer) if peer.address.is_alive() || self.dice.once_in(8) => peer,
            _ => return self.spawn(),
        };
        let (rt, world) = (self.rt, self.world);
        match self.dice.roll(64) {
            0..2 => {
                let time = Duration::from_micros(self.dice.roll(3_000));
                self.ask(&peer, Limit::Short(time));
            }
            2 => self.ask(&peer, Limit::Default),
            3 => self.ask_blocking(&peer),
            4 => self.give_up(&peer),
            // Rarely: those that are there shall get to do something.
            5..8 if !self.dice.once_in(4) => {
                let (load, more) = (self.load(), self.dice.roll(4));
                cast(world, &peer.address, load, more);
            }
            5 => {
                world.book.count(Ev::Kills);
                rt.exit(&peer.address, ExitReason::Kill);
            }
            6 => {
                world.book.count(Ev::Exits);
                let reasons =
                    [ExitReason::Shutdown, ExitReason::Normal, ExitReason::custom(Own(0))];
                rt.exit(&peer.address, self.dice.pick(&reasons).clone());
            }
            7 => {
                world.book.count(Ev::Stops);
                let limit = Duration::from_micros(self.dice.roll(2_000));
                let stopping = rt.stop(&peer.address, ExitReason::Shutdown).timeout(limit);
                if self.dice.once_in(2) {
                    self.expect(stopping, "the answer of a stop with a limit");
                }
            }
            8..10 => {
                // Watched from outside: to the end, or for a moment.
                let down = rt.down(&peer.address);
                if self.dice.once_in(2) {
                    world.await_end(down);
                }
            }
            10 => self.look(&peer),
            11 => {
                world.book.count(Ev::Names);
                let name = self.dice.pick(&world.names).clone();
                if self.dice.once_in(2) {
                    let _ = rt.register(name, &peer.address);
                } else {
                    rt.unregister(name);
                }
            }
            12 => {
                if let Some((alias, door)) = world.door(&mut self.dice) {
                    world.book.count(Ev::AliasSends);
                    let load = self.load();
                    alias.send(Msg::Aliased(load, door));
                }
            }
            13 => self.start(),
            _ => {
                let (load, more) = (self.load(), self.dice.roll(4));
                cast(world, &peer.address, load, more);
            }
        }
    }

    /// Waits for what must come soon.
    fn expect<T>(&self, future: impl Future<Output = T>, what: &str) -> Option<T> {
        let came = wait(future, Duration::from_secs(20));
        if came.is_none() && !self.world.is_closing() {
            self.world.book.fault(format!("{what} did not come within 20 s"));
        }
        came
    }

    fn ask(&mut self, peer: &Peer, limit: Limit) {
        let load = self.load();
        let call = ask(self.world, peer, load, limit, || self.rt.uptime());
        self.expect(call, "the answer of a call with a timeout");
    }

    fn ask_blocking(&mut self, peer: &Peer) {
        self.world.book.count(Ev::Calls);
        let time = Duration::from_micros(self.dice.roll(2_000));
        let (load, open) = (self.load(), Open::new(self.world, Some(time), self.rt.uptime()));
        let call = peer.address.call(|reply| Msg::Ask(open.ask(load, reply)));
        let came = call.timeout(time).blocking();
        open.over(came, self.rt.uptime());
    }

    /// Before it is sent, or while it waits.
    fn give_up(&mut self, peer: &Peer) {
        let load = self.load();
        let polls = self.dice.roll(2);
        let mut call = pin!(ask(self.world, peer, load, Limit::None, || self.rt.uptime()));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            let _ = call.as_mut().poll(&mut cx);
        }
    }

    fn look(&mut self, peer: &Peer) {
        self.world.book.count(Ev::Looks);
        let (one, other) = (self.rt.info(&peer.address), self.rt.relations(&peer.address));
        let _ = self.rt.metrics();
        if one.is_some_and(|info| info.pid != peer.address.pid()) {
            self.world.book.fault("the info of one process was another's");
        }
        let relations = self.expect(other, "the relations of a process").flatten();
        if relations.is_some_and(|found| found.links.contains(&peer.address.pid())) {
            self.world.book.fault(format!("{} is linked to itself", peer.address.pid()));
        }
    }

    fn args(&mut self) -> Start {
        let world = self.world.clone();
        Start { id: world.next_id(), seed: self.dice.seed(), world }
    }

    fn spawn(&mut self) {
        self.world.book.count(Ev::Spawns);
        let start = self.args();
        let id = start.id;
        let address = self.rt.spawn::<Chaos>(start);
        let pid = address.pid();
        self.world.place(Peer { id, address }, &mut self.dice, || self.rt.down(pid));
    }

    fn start(&mut self) {
        self.world.book.count(Ev::Starts);
        let start = self.args();
        let id = start.id;
        let start = self.rt.start::<Chaos>(start);
        let start = if self.dice.once_in(2) {
            start.timeout(Duration::from_micros(self.dice.roll(500)))
        } else {
            start
        };
        if let Some(Ok(address)) = self.expect(start, "the outcome of a start") {
            let pid = address.pid();
            self.world.place(Peer { id, address }, &mut self.dice, || self.rt.down(pid));
        }
    }
}

/// Makes and ends runtimes of its own, until it is told to stop. `other` is a runtime to which their pids mean
/// nothing.
pub(crate) fn make_runtimes(other: &Handle, world: &Arc<World>, seed: u64, stop: &AtomicBool) {
    let mut dice = Dice::new(seed);
    while !stop.load(Relaxed) {
        world.book.count(Ev::Runtimes);
        let workers = 1 + dice.roll(2) as usize;
        let Ok(rt) = Runtime::builder().workers(workers).quiet_crashes().build() else {
            return world.book.fault("a second runtime could not be built");
        };
        let few = World::new(FEW);
        let handle = rt.handle();
        let mut sender = Sender {
            rt: &handle,
            world: &few,
            dice: Dice::new(dice.seed()),
            id: few.next_id(),
            sent: 0,
        };
        (0..FEW).for_each(|_| sender.spawn());
        for _ in 0..dice.roll(400) {
            sender.act();
        }
        if let Some(peer) = few.peer(&mut dice)
            && (other.is_alive(&peer.address) || other.info(&peer.address).is_some())
        {
            world.book.fault(format!("{peer:?} of one runtime was found in another"));
        }
        drop(handle);
        let end = if dice.once_in(2) { End::Dropped } else { End::ShutDown };
        finish(rt, &few, end, &AtomicBool::new(false));
        close_the_book(&few, end, LONG);
        // Looked at here: what it did is no part of the other's counts.
        few.book.faults().into_iter().for_each(|fault| {
            world.book.fault(format!("in a second runtime: {fault}"));
        });
        thread::sleep(Duration::from_micros(dice.roll(2_000)));
    }
}

/// Keeps the reports of panics that actors are asked for off the terminal.
pub(crate) fn silence_asked_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(PANIC) {
            before(info);
        }
    }));
}
