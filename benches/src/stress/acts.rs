//! What an actor of the stress program does of itself: one thing for each message that asks for work.
//!
//! # Who may wait for whom
//!
//! A call that waits long goes to an actor with a lower number only, so that no circle of them closes; any
//! other has a short timeout. A parent waits for its children's ends for a short time, and kills.

use std::time::Duration;

use whitebeam::{
    Context, ExitReason, MonitorAlias, NameError, Outcome, Pid, SpawnOptions, Stop, Target,
};

use crate::stress::actor::{Chaos, Limit, Msg, PANIC, Start, Watching, ask, trap, yield_now};
use crate::stress::book::{Ev, Own, Sent};
use crate::stress::tokens::{Alarm, Beat, Door, Fuse, Watch};
use crate::stress::world::Peer;

/// Monitors that one actor keeps: with more, the oldest goes.
const MONITORS: usize = 32;

impl Chaos {
    /// One thing, by chance.
    pub(crate) async fn act(&mut self, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Some(peer) = self.world.peer(&mut self.dice) else { return Ok(()) };
        let is_many = self.world.population() * 4 > self.world.actors * 3;
        match self.dice.roll(64) {
            0..8 => self.call(&peer, cx).await,
            8..10 => {
                // Two at once.
                let now = || cx.runtime().uptime();
                let limit = self.limit(&peer);
                let (one, other) = (self.load(), self.load());
                let (one, other) = (
                    ask(&self.world, &peer, one, limit, now),
                    ask(&self.world, &peer, other, limit, now),
                );
                both(one, other).await;
            }
            10..12 => yield_now().await,
            12 => {
                let time = Duration::from_micros(self.dice.roll(300));
                cx.runtime().sleep(time).await;
            }
            13..17 => self.link(&peer, cx),
            17..19 => {
                self.world.book.count(Ev::Unlinks);
                cx.unlink(&peer.address);
            }
            19..25 => self.monitor(&peer, cx),
            25..28 => self.demonitor(cx),
            28..31 => self.set_timer(cx),
            31..33 => self.cancel_timer(cx),
            33 => self.set_beat(cx),
            34..36 => self.change_traps(cx),
            36..38 => self.change_names(&peer, cx),
            38 => self.make_alias(cx),
            39..42 => self.send_by_alias(),
            42..44 => self.look(&peer, cx),
            44..47 if is_many => self.send_exit(&peer, cx),
            47 if is_many => {
                self.world.book.count(Ev::OwnEnds);
                panic!("{PANIC}");
            }
            48 if is_many => {
                self.world.book.count(Ev::OwnEnds);
                return Err(ExitReason::custom(Own(self.id)));
            }
            49 if is_many => {
                self.world.book.count(Ev::OwnEnds);
                cx.stop(ExitReason::Normal);
            }
            50 if is_many => {
                self.world.book.count(Ev::OwnEnds);
                cx.exit(cx.pid(), ExitReason::Normal);
            }
            44..51 => self.spawn(cx).await,
            51..54 if self.is_parent => self.stop_children(cx).await,
            51..58 => self.spawn(cx).await,
            _ => {
                let load = self.load();
                cx.continue_with(Msg::Work(load.unordered(), 0));
            }
        }
        Ok(())
    }

    /// Long enough for what may take long, see the module's text.
    fn limit(&mut self, peer: &Peer) -> Limit {
        match self.dice.roll(4) {
            0 if peer.id < self.id => Limit::Default,
            1 if peer.id < self.id => Limit::None,
            // From 250 ms on the runtime looks after it in another way.
            2 if self.dice.once_in(64) => Limit::Short(Duration::from_millis(251)),
            _ => Limit::Short(Duration::from_micros(self.dice.roll(5_000))),
        }
    }

    async fn call(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        let (load, limit) = (self.load(), self.limit(peer));
        let rt = cx.runtime();
        if self.dice.once_in(8) {
            // Given up by who raced it against a clock.
            let time = Duration::from_micros(self.dice.roll(200));
            either(ask(&self.world, peer, load, limit, || rt.uptime()), rt.sleep(time)).await;
        } else {
            ask(&self.world, peer, load, limit, || rt.uptime()).await;
        }
    }

    fn link(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Links);
        self.world.book.linked(cx.pid(), peer.address.pid());
        cx.link(&peer.address);
        if self.dice.once_in(4) {
            self.world.book.count(Ev::Unlinks);
            cx.unlink(&peer.address);
        }
    }

    fn watch(&self, ends_by_alias: bool) -> (std::sync::Arc<Watch>, Fuse) {
        self.world.book.count(Ev::Monitors);
        Watch::new(&self.world, &self.life, ends_by_alias)
    }

    fn keep(&mut self, watching: Watching, cx: &mut Context<Self>) {
        self.watching.push(watching);
        if self.watching.len() > MONITORS {
            let oldest = self.watching.remove(0);
            self.take_back(&oldest, cx);
        }
    }

    fn monitor(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        let to = &peer.address;
        let of = Some(to.pid());
        let watching = match self.dice.roll(8) {
            0 => {
                let (watch, fuse) = self.watch(false);
                let name = self.dice.pick(&self.world.names).clone();
                let monitor = cx.monitor_name(name, |down| Msg::Down(fuse.fire(&down), down));
                Watching { monitor, of: None, watch }
            }
            1..3 => {
                let kinds = [MonitorAlias::Explicit, MonitorAlias::Demonitor, MonitorAlias::Reply];
                let kind = *self.dice.pick(&kinds);
                let ends = kind == MonitorAlias::Reply;
                let (watch, fuse) = self.watch(ends);
                let make = |down| Msg::Down(fuse.fire(&down), down);
                let (monitor, alias) = cx.monitor_alias(to, kind, make);
                let door = Door::new(cx.pid(), ends, ends.then(|| watch.clone()));
                self.world.book.count(Ev::Aliases);
                self.world.show_door(alias, door, &mut self.dice);
                Watching { monitor, of, watch }
            }
            _ => {
                let (watch, fuse) = self.watch(false);
                let monitor = cx.monitor(to, |down| Msg::Down(fuse.fire(&down), down));
                Watching { monitor, of, watch }
            }
        };
        self.keep(watching, cx);
    }

    fn take_back(&mut self, watching: &Watching, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Demonitors);
        let flush = self.dice.once_in(2);
        watching.watch.take_back(flush, || {
            if flush {
                cx.demonitor_flush(watching.monitor)
            } else {
                cx.demonitor(watching.monitor)
            }
        });
    }

    fn demonitor(&mut self, cx: &mut Context<Self>) {
        if self.watching.is_empty() {
            return;
        }
        let at = self.dice.roll(self.watching.len() as u64) as usize;
        let watching = self.watching.swap_remove(at);
        self.take_back(&watching, cx);
        if self.dice.once_in(4) {
            // It is over by now, whatever it was.
            self.take_back(&watching, cx);
        }
    }

    fn set_timer(&mut self, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Timers);
        // Some are far enough away to be cancelled.
        let most = if self.dice.once_in(4) { 100_000 } else { 3_000 };
        let after = Duration::from_micros(self.dice.roll(most));
        let due = cx.runtime().uptime() + after;
        let (alarm, ring) = Alarm::new(&self.world, &self.life, due);
        self.alarms.push((cx.send_after(after, Msg::Ring(ring)), alarm));
    }

    fn cancel_timer(&mut self, cx: &mut Context<Self>) {
        if self.alarms.is_empty() {
            return self.set_timer(cx);
        }
        self.world.book.count(Ev::Cancels);
        let at = self.dice.roll(self.alarms.len() as u64) as usize;
        let (timer, alarm) = &self.alarms[at];
        alarm.cancel(|| cx.cancel(*timer));
        if !alarm.is_open() {
            self.alarms.swap_remove(at);
        }
    }

    fn set_beat(&mut self, cx: &mut Context<Self>) {
        self.stop_beat(cx);
        self.world.book.count(Ev::Timers);
        let beat = Beat::new(&self.world);
        let period = Duration::from_micros(500 + self.dice.roll(3_000));
        let ticks = beat.clone();
        self.beat = Some((cx.interval(period, move || Msg::Tick(ticks.tick())), beat));
    }

    fn change_traps(&mut self, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Traps);
        if self.dice.once_in(2) {
            trap(&self.world, cx);
        } else {
            cx.untrap_exit();
        }
    }

    fn change_names(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Names);
        let (rt, name) = (cx.runtime(), self.dice.pick(&self.world.names).clone());
        if self.dice.once_in(3) {
            rt.unregister(name);
            return;
        }
        let to = if self.dice.once_in(2) { cx.pid() } else { peer.address.pid() };
        match rt.register(name.clone(), to) {
            // No other error lets the living go without.
            Err(NameError::NoProc) if to == cx.pid() => {
                self.world.book.fault(format!("{to} runs and was not there for the name {name}"));
            }
            _ => {}
        }
    }

    fn make_alias(&mut self, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Aliases);
        let is_once = self.dice.once_in(2);
        let alias = if is_once { cx.alias_once() } else { cx.alias() };
        if self.dice.once_in(4) {
            cx.unalias(&alias);
        }
        let door = Door::new(cx.pid(), is_once, None);
        self.world.show_door(alias, door, &mut self.dice);
    }

    fn send_by_alias(&mut self) {
        let Some((alias, door)) = self.world.door(&mut self.dice) else { return };
        for _ in 0..=self.dice.roll(2) {
            self.world.book.count(Ev::AliasSends);
            let load = self.load();
            alias.send(Msg::Aliased(load, door.clone()));
        }
    }

    fn look(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        self.world.book.count(Ev::Looks);
        let relations = cx.relations();
        if relations.links.contains(&cx.pid()) {
            self.world.book.fault(format!("{} is linked to itself", cx.pid()));
        }
        let info = cx.runtime().info(&peer.address);
        if info.is_some_and(|info| info.pid != peer.address.pid()) {
            self.world.book.fault("the info of one process was another's");
        }
    }

    fn send_exit(&mut self, peer: &Peer, cx: &mut Context<Self>) {
        let to = peer.address.pid();
        if self.dice.once_in(2) {
            self.world.book.count(Ev::Kills);
            cx.exit(to, ExitReason::Kill);
        } else {
            self.world.book.count(Ev::Exits);
            cx.exit(to, ExitReason::custom(Sent(to)));
        }
    }

    fn start(&mut self) -> Start {
        let world = self.world.clone();
        Start { id: world.next_id(), seed: self.dice.seed(), world }
    }

    async fn spawn(&mut self, cx: &mut Context<Self>) {
        if self.world.population() > self.world.actors * 5 / 4 {
            return;
        }
        let start = self.start();
        let id = start.id;
        let mut options = SpawnOptions::new();
        if self.dice.once_in(8) {
            options = options.name(self.dice.pick(&self.world.names).clone());
        }
        let rt = cx.runtime();
        let address = match self.dice.roll(5) {
            0 => {
                self.world.book.count(Ev::SpawnLinks);
                let child = cx.with(options).spawn_link::<Chaos>(start);
                self.world.book.linked(cx.pid(), child.pid());
                child
            }
            1 => {
                self.world.book.count(Ev::SpawnMonitors);
                let (watch, fuse) = self.watch(false);
                // Without a name: one that is taken leaves nobody to watch.
                let (child, monitor) =
                    cx.spawn_monitor::<Chaos>(start, |down| Msg::Down(fuse.fire(&down), down));
                let of = Some(child.pid());
                self.keep(Watching { monitor, of, watch }, cx);
                child
            }
            2 if self.is_parent => {
                self.world.book.count(Ev::SpawnChildren);
                match cx.spawn_child::<Chaos>(start, options, None, None) {
                    Some((_, child)) => child,
                    None => return,
                }
            }
            3 => {
                self.world.book.count(Ev::Starts);
                let start = cx.with(options).start::<Chaos>(start);
                let start = match self.dice.roll(3) {
                    0 => start.timeout(Duration::from_micros(self.dice.roll(500))),
                    _ => start,
                };
                match start.await {
                    Ok(child) => child,
                    Err(_) => return,
                }
            }
            _ => {
                self.world.book.count(Ev::Spawns);
                cx.with(options).spawn::<Chaos>(start)
            }
        };
        let pid = address.pid();
        self.world.place(Peer { id, address }, &mut self.dice, || rt.down(pid));
    }

    async fn stop_children(&mut self, cx: &mut Context<Self>) {
        self.world.book.count(Ev::ChildStops);
        let some = self.world.peer(&mut self.dice).and_then(|peer| peer.address.target());
        if let Some(key) = some.and_then(|pid: Pid| cx.child_key(pid)) {
            let how = [Stop::Kill, Stop::After(Duration::from_millis(1))];
            let outcome = cx.stop_child(key, *self.dice.pick(&how)).await;
            if !matches!(outcome, Outcome::NotFound) && cx.child_pid(key) == some {
                self.world.book.fault(format!("child {some:?} was stopped and is still there"));
            }
        } else if self.dice.once_in(4) {
            let _ = cx.stop_children(Stop::After(Duration::from_millis(2))).await;
            if cx.child_count() > 0 {
                self.world.book.fault(format!("{} children left by a stop", cx.child_count()));
            }
        }
    }
}

/// Both, at once.
async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let mut done = [false; 2];
    std::future::poll_fn(|cx| {
        done[0] = done[0] || one.as_mut().poll(cx).is_ready();
        done[1] = done[1] || other.as_mut().poll(cx).is_ready();
        if done == [true; 2] { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// The first of two; the other is dropped.
async fn either<T, U>(one: impl Future<Output = T>, other: impl Future<Output = U>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| {
        let first = one.as_mut().poll(cx).is_ready();
        if first || other.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}
