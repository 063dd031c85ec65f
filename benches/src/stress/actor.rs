//! The actor of the stress program: what it has, what it is sent, how it ends.
//!
//! What it does of itself is in `acts.rs`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use whitebeam::{
    Actor, ActorRef, ChildDown, Context, Down, Exit, ExitReason, MonitorRef, Pid, Reply, Stop,
    TimerRef,
};

use crate::stress::book::{Ev, Own};
use crate::stress::dice::Dice;
use crate::stress::tokens::{
    Alarm, Answer, Ask, Beat, Door, Fired, Life, Load, Open, Ring, Tick, Watch,
};
use crate::stress::world::{Peer, World};

/// The text of panics that are asked for: they are not printed.
pub(crate) const PANIC: &str = "the stress program asked for it";

/// How late a timer may be before it counts as lost.
const LATE: Duration = Duration::from_secs(5);

/// What an actor is sent.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Do something, and have others do something so many times over.
    Work(Load, u64),
    Ask(Ask),
    Aliased(Load, Arc<Door>),
    Ring(Ring),
    Tick(Tick),
    /// Answer what was kept.
    Flush,
    Down(Fired, Down),
    Exit,
    /// What is open? Asked when all is calm.
    Audit(Reply<Audit>),
}

/// What an actor has open when all is calm.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Timers whose message should have come long ago.
    pub(crate) overdue: usize,
    /// Monitors that are active, by what was watched.
    pub(crate) watching: Vec<Pid>,
}

/// What it is started with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) world: Arc<World>,
    pub(crate) id: u64,
    pub(crate) seed: u64,
}

/// A monitor of an actor's own.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) monitor: MonitorRef,
    /// Who is watched, if it was not by a name.
    pub(crate) of: Option<Pid>,
    pub(crate) watch: Arc<Watch>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
    pub(crate) id: u64,
    pub(crate) dice: Dice,
    /// Messages sent so far.
    sent: u64,
    /// The number of the last message of each sender.
    seen: HashMap<u64, u64>,
    pub(crate) kept: Vec<Ask>,
    pub(crate) watching: Vec<Watching>,
    pub(crate) alarms: Vec<(TimerRef, Arc<Alarm>)>,
    pub(crate) beat: Option<(TimerRef, Arc<Beat>)>,
    pub(crate) is_parent: bool,
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.life.is_over.store(true, SeqCst);
        self.world.has_ended(self.id);
    }
}

impl Actor for Chaos {
    type Args = Start;
    type Msg = Msg;

    async fn init(start: Start, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let Start { world, id, seed } = start;
        let mut dice = Dice::new(seed);
        match dice.roll(64) {
            0 => return Err(ExitReason::Ignore),
            1 => return Err(ExitReason::custom(Own(id))),
            2 => panic!("{PANIC}"),
            3 => yield_now().await,
            4..20 => trap(&world, cx),
            _ => {}
        }
        let is_parent = dice.once_in(4);
        if is_parent {
            cx.supervise(Self::child_ended);
        }
        world.lives(id, cx.me());
        Ok(Chaos {
            world,
            life: Arc::default(),
            id,
            dice,
            sent: 0,
            seen: HashMap::new(),
            kept: Vec::new(),
            watching: Vec::new(),
            alarms: Vec::new(),
            beat: None,
            is_parent,
        })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Work(mut load, more) => {
                load.handle(&mut self.seen);
                drop(load);
                if self.world.is_calm() {
                    return Ok(());
                }
                self.pass_on(more);
                return self.act(cx).await;
            }
            Msg::Ask(mut ask) => {
                ask.load.handle(&mut self.seen);
                self.asked(ask, cx).await;
            }
            Msg::Aliased(mut load, door) => {
                load.handle(&mut self.seen);
                door.handle(&self.world, cx.pid());
            }
            Msg::Ring(ring) => {
                ring.handle(cx.runtime().uptime());
                self.alarms.retain(|(_, alarm)| alarm.is_open());
            }
            Msg::Tick(tick) => {
                tick.handle();
                if self.world.is_calm() || self.dice.once_in(8) {
                    self.stop_beat(cx);
                }
            }
            Msg::Flush => self.kept.drain(..).for_each(Ask::answer),
            Msg::Down(fired, down) => self.down(fired.handle().as_ref(), &down, cx),
            Msg::Exit if self.dice.once_in(8) => return Err(ExitReason::custom(Own(self.id))),
            Msg::Exit => {}
            Msg::Audit(reply) => {
                self.stop_beat(cx);
                self.kept.drain(..).for_each(Ask::answer);
                reply.send(self.audit(cx.runtime().uptime()));
            }
        }
        Ok(())
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) {
        match self.dice.roll(16) {
            0 => yield_now().await,
            1 => panic!("{PANIC}"),
            _ => {}
        }
        if self.is_parent {
            let _ = cx.stop_children(Stop::After(Duration::from_millis(50))).await;
        }
    }
}

/// Exits become messages, and are looked at when they do.
pub(crate) fn trap(world: &Arc<World>, cx: &mut Context<Chaos>) {
    let (world, me) = (world.clone(), cx.pid());
    cx.trap_exit(move |exit: Exit| {
        world.book.exit_came(me, &exit);
        Msg::Exit
    });
}

impl Chaos {
    /// A message to be sent, with its number.
    pub(crate) fn load(&mut self) -> Load {
        self.sent += 1;
        Load::new(&self.world, self.id, self.sent)
    }

    /// Sends.
    pub(crate) fn cast(&mut self, to: &ActorRef<Msg>, more: u64) {
        let load = self.load();
        cast(&self.world, to, load, more);
    }

    fn pass_on(&mut self, more: u64) {
        let copies = if more > 0 { 2 } else { 0 };
        for _ in 0..copies {
            if let Some(peer) = self.world.peer(&mut self.dice) {
                self.cast(&peer.address, more - 1);
            }
        }
    }

    async fn asked(&mut self, ask: Ask, cx: &mut Context<Self>) {
        match self.dice.roll(16) {
            0..4 if !self.world.is_calm() => {
                // Answered later: by a message of its own, if nothing comes before.
                self.kept.push(ask);
                if self.kept.len() == 1 {
                    let after = Duration::from_micros(self.dice.roll(2_000));
                    cx.send_after(after, Msg::Flush);
                }
            }
            4..6 => drop(ask),
            6 => {
                yield_now().await;
                ask.answer();
            }
            7 => {
                // From another place than the actor.
                cx.runtime().spawn_task(async move { ask.answer() }).detach();
            }
            8 => {
                self.kept.drain(..).for_each(Ask::answer);
                ask.answer();
            }
            _ => ask.answer(),
        }
    }

    fn down(&mut self, watch: &Watch, down: &Down, cx: &mut Context<Self>) {
        let is_this = |watching: &Watching| std::ptr::eq(watching.watch.as_ref(), watch);
        if let Some(at) = self.watching.iter().position(is_this) {
            let of = self.watching.swap_remove(at).of;
            if of.is_some_and(|of| of != down.pid) {
                self.world.book.fault(format!("a monitor of {of:?} told of {}", down.pid));
            }
        }
        let rt = cx.runtime();
        if rt.is_alive(down.pid) {
            self.world.book.fault(format!("{} lives after its DOWN", down.pid));
        }
        let name = self.dice.pick(&self.world.names).clone();
        if rt.whereis(name) == Some(down.pid) {
            self.world.book.fault(format!("{} has its name after its DOWN", down.pid));
        }
    }

    fn child_ended(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        self.world.book.ended(down.pid, &down.reason);
        if cx.runtime().is_alive(down.pid) {
            self.world.book.fault(format!("child {} lives after its end", down.pid));
        }
    }

    pub(crate) fn stop_beat(&mut self, cx: &mut Context<Self>) {
        if let Some((timer, beat)) = self.beat.take() {
            beat.cancel(|| cx.cancel(timer));
        }
    }

    fn audit(&self, now: Duration) -> Audit {
        let overdue = self.alarms.iter().filter(|(_, alarm)| alarm.is_overdue(now, LATE)).count();
        let open = self.watching.iter().filter(|watching| watching.watch.is_open());
        Audit { overdue, watching: open.filter_map(|watching| watching.of).collect() }
    }
}

/// Sends a message, and looks whether it was refused.
pub(crate) fn cast(world: &World, to: &ActorRef<Msg>, load: Load, more: u64) {
    world.book.count(Ev::Sends);
    if let Err(error) = to.cast(Msg::Work(load, more))
        && let Msg::Work(load, _) = error.into_message()
    {
        load.refused();
    }
}

/// How long a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// This long.
    Short(Duration),
    /// As calls do: 5 s.
    Default,
    /// For ever.
    None,
}

/// Calls and notes what it came to. `now` tells the runtime's time.
pub(crate) async fn ask(
    world: &Arc<World>,
    peer: &Peer,
    load: Load,
    limit: Limit,
    now: impl Fn() -> Duration,
) {
    let time = match limit {
        Limit::Short(time) => Some(time),
        Limit::Default => Some(whitebeam::CALL_TIMEOUT),
        Limit::None => None,
    };
    world.book.count(Ev::Calls);
    let open = Open::new(world, time, now());
    let call = peer.address.call::<Answer, _>(|reply| Msg::Ask(open.ask(load, reply)));
    let came = match limit {
        Limit::Short(time) => call.timeout(time).await,
        Limit::Default => call.await,
        Limit::None => call.no_timeout().await,
    };
    open.over(came, now());
}

/// Lets others run.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
