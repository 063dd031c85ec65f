//! Runs a program on Whitebeam, in a simulation: each seed takes the turns of a step in another order.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::FutureExt;
use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ActorRef, Context, Down, DownFuture, Exit, ExitReason, MonitorRef, Pid, Reply, oneshot,
};
use whitebeam_testkit::{Sim, TestRuntime};

use super::{
    model::relations,
    program::{How, Id, Mon, NAMES, OUTSIDE, Op, Program, Reason},
    trace::{Entry, Trace},
};
use crate::support::EXPECTED;

/// The trace of a program in the order of a seed.
///
/// # Errors
/// The run fails for itself: it does not come to rest, or processes do not end when they are killed.
pub(crate) fn run(program: &Program, seed: u64) -> Result<Trace, String> {
    let trace = Arc::new(Mutex::new(Trace::new()));
    let run = Sim::new().ignore_environment().seed(seed).try_run(|rt| {
        let (program, trace) = (program.clone(), trace.clone());
        async move { *trace.lock() = Stage::new(rt).run(&program).await }
    });
    run.map_err(|failure| failure.to_string())?;
    let mut trace = trace.lock();
    Ok(std::mem::take(&mut *trace))
}

/// What the processes of a run share.
#[derive(Default)]
struct World {
    step: usize,
    players: BTreeMap<Id, ActorRef<Msg>>,
    numbers: BTreeMap<Pid, Id>,
    /// Those that are not watched yet.
    fresh: Vec<Id>,
    monitors: BTreeMap<Mon, MonitorRef>,
    /// How those are told what to do that are in the middle of a handler.
    holding: BTreeMap<Id, Reply<Op>>,
    told: Vec<(Id, Entry)>,
}

/// Who carries out a program.
struct Stage {
    rt: TestRuntime,
    world: Arc<Mutex<World>>,
    ends: BTreeMap<Id, DownFuture>,
    trace: Trace,
}

impl Stage {
    fn new(rt: TestRuntime) -> Self {
        Stage { rt, world: Arc::default(), ends: BTreeMap::new(), trace: Trace::new() }
    }

    async fn run(mut self, program: &Program) -> Trace {
        for id in 1..=program.roots {
            let world = self.world.clone();
            let player = self.rt.spawn::<Player>((id, world.clone()));
            world.lock().add(id, player);
        }
        self.settle(0).await;
        for (number, step) in program.steps.iter().enumerate() {
            self.world.lock().step = number;
            self.tell(step.by, step.op);
            self.settle(number).await;
        }
        self.look().await;
        // Leaves nobody behind, whatever it does.
        for id in self.ends.keys() {
            self.rt.exit(self.player(*id), ExitReason::Kill);
        }
        self.trace
    }

    fn player(&self, id: Id) -> ActorRef<Msg> {
        self.world.lock().players[&id].clone()
    }

    fn tell(&self, by: Id, op: Op) {
        if by == OUTSIDE {
            return match op {
                Op::Exit(to, reason) => self.rt.exit(self.player(to), exit_reason(reason)),
                Op::Send(to, number) => drop(self.player(to).cast(Msg::Number(by, number))),
                Op::SendName(name, number) => {
                    if let Some(to) = self.rt.whereis(name) {
                        let to = self.world.lock().numbers[&to];
                        drop(self.player(to).cast(Msg::Number(by, number)));
                    }
                }
                other => unreachable!("{other:?} from outside"),
            };
        }
        let holding = self.world.lock().holding.remove(&by);
        match holding {
            Some(reply) => reply.send(op),
            None => drop(self.player(by).cast(Msg::Do(op))),
        }
    }

    /// Waits until nothing is in flight, and takes down what came of the step.
    async fn settle(&mut self, step: usize) {
        self.rt.run_until_idle().await;
        self.take_down();
        // A watch that was set just now is a signal, too.
        self.rt.run_until_idle().await;
        self.ends.retain(|id, end| {
            let Some(down) = end.now_or_never() else { return true };
            let life = self.trace.get_mut(id).expect("watched when it was entered");
            life.end = Some((step, reason_text(&down.reason)));
            false
        });
    }

    /// Enters what the processes were told, and those that are new.
    fn take_down(&mut self) {
        let mut world = self.world.lock();
        for (id, entry) in world.told.drain(..) {
            self.trace.entry(id).or_default().entries.push(entry);
        }
        for id in std::mem::take(&mut world.fresh) {
            self.trace.entry(id).or_default();
            self.ends.insert(id, self.rt.down(&world.players[&id]));
        }
    }

    /// The relations of who is left.
    async fn look(&mut self) {
        for &id in self.ends.keys() {
            let player = self.player(id);
            let seen = self.rt.relations(&player).await.expect("it has not ended");
            let world = self.world.lock();
            let ids = |pids: &[Pid]| {
                let mut ids: Vec<Id> = pids.iter().map(|pid| world.numbers[pid]).collect();
                ids.sort_unstable();
                ids
            };
            let monitors: Vec<_> = ids(&seen.monitors).iter().map(Id::to_string).collect();
            let named = NAMES.iter().find(|name| self.rt.whereis(**name) == Some(player.pid()));
            let name = named.copied().unwrap_or("-");
            let seen = relations(&ids(&seen.links), &monitors, &ids(&seen.monitored_by), name);
            self.trace.entry(id).or_default().relations = seen;
        }
    }
}

impl World {
    fn add(&mut self, id: Id, player: ActorRef<Msg>) {
        self.numbers.insert(player.pid(), id);
        self.players.insert(id, player);
        self.fresh.push(id);
    }

    fn number(&self, pid: Option<Pid>) -> Id {
        pid.map_or(OUTSIDE, |pid| self.numbers[&pid])
    }

    fn tell(&mut self, id: Id, text: String) {
        let step = self.step;
        self.told.push((id, Entry { handled: step, came: step, text }));
    }
}

/// A process of the program.
struct Player {
    id: Id,
    world: Arc<Mutex<World>>,
}

enum Msg {
    Do(Op),
    Number(Id, usize),
    Exit(Exit),
    Down(Mon, Down),
}

impl Actor for Player {
    type Args = (Id, Arc<Mutex<World>>);
    type Msg = Msg;

    async fn init((id, world): Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Player { id, world })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Do(Op::Hold) => return self.hold(cx).await,
            Msg::Do(op) => return self.act(op, cx).map(drop),
            Msg::Number(from, number) => self.note(format!("send {from} {number}")),
            Msg::Exit(exit) => {
                let from = self.world.lock().number(exit.from);
                self.note(format!("exit {from} {}", reason_text(&exit.reason)));
            }
            Msg::Down(monitor, down) => {
                let of = match &down.name {
                    Some(name) => name.to_string(),
                    None => self.world.lock().number(Some(down.pid)).to_string(),
                };
                self.note(format!("down {monitor} {of} {}", reason_text(&down.reason)));
            }
        }
        Ok(())
    }
}

/// Whether the handler is to go on.
enum Next {
    Act,
    Leave,
}

impl Player {
    fn note(&self, text: String) {
        self.world.lock().tell(self.id, text);
    }

    fn result(&self, result: impl ToString) {
        self.note(format!("result {}", result.to_string()));
    }

    async fn hold(&mut self, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        loop {
            let (reply, op) = oneshot();
            self.world.lock().holding.insert(self.id, reply);
            let Ok(op) = op.await else { return Ok(()) };
            if let Next::Leave = self.act(op, cx)? {
                return Ok(());
            }
        }
    }

    fn act(&mut self, op: Op, cx: &mut Context<Self>) -> Result<Next, ExitReason> {
        let pid = |id: Id| self.world.lock().players[&id].pid();
        let on_down = |monitor| move |down| Msg::Down(monitor, down);
        match op {
            Op::Link(to) => cx.link(pid(to)),
            Op::Unlink(to) => cx.unlink(pid(to)),
            Op::Monitor(to, monitor) => {
                let made = cx.monitor(pid(to), on_down(monitor));
                self.world.lock().monitors.insert(monitor, made);
            }
            Op::MonitorName(name, monitor) => {
                let made = cx.monitor_name(name, on_down(monitor));
                self.world.lock().monitors.insert(monitor, made);
            }
            Op::Demonitor { monitor, flush, info } => {
                let monitor = self.world.lock().monitors[&monitor];
                let was_active =
                    if flush { cx.demonitor_flush(monitor) } else { cx.demonitor(monitor) };
                if info {
                    self.result(was_active);
                }
            }
            Op::Trap(true) => cx.trap_exit(Msg::Exit),
            Op::Trap(false) => cx.untrap_exit(),
            Op::Exit(to, reason) => cx.exit(pid(to), exit_reason(reason)),
            Op::Stop(reason) => {
                cx.stop(exit_reason(reason));
                return Ok(Next::Leave);
            }
            Op::Return(reason) => return Err(exit_reason(reason)),
            Op::Panic => panic!("{EXPECTED}"),
            Op::Spawn(how, child, monitor) => self.spawn(how, child, monitor, cx),
            Op::Register(name, to) => {
                self.result(cx.runtime().register(name, pid(to)).is_ok());
            }
            Op::Unregister(name) => self.result(cx.runtime().unregister(name)),
            Op::Whereis(name) => {
                let whose = cx.runtime().whereis(name);
                let whose = self.world.lock().number(whose);
                self.result(whose);
            }
            Op::Send(to, number) => {
                let to = self.world.lock().players[&to].clone();
                drop(to.cast(Msg::Number(self.id, number)));
            }
            Op::SendName(name, number) => match cx.runtime().whereis(name) {
                Some(to) => {
                    let to = self.world.lock().number(Some(to));
                    self.act(Op::Send(to, number), cx)?;
                }
                None => self.result("noname"),
            },
            Op::Hold => {}
            Op::GoOn => return Ok(Next::Leave),
        }
        Ok(Next::Act)
    }

    fn spawn(&self, how: How, child: Id, monitor: Mon, cx: &mut Context<Self>) {
        let args = (child, self.world.clone());
        let player = match how {
            How::Plain => cx.spawn::<Player>(args),
            How::Link => cx.spawn_link::<Player>(args),
            How::Monitor => {
                let on_down = move |down| Msg::Down(monitor, down);
                let (player, made) = cx.spawn_monitor::<Player>(args, on_down);
                self.world.lock().monitors.insert(monitor, made);
                player
            }
        };
        self.world.lock().add(child, player);
    }
}

fn exit_reason(reason: Reason) -> ExitReason {
    match reason {
        Reason::Normal => ExitReason::Normal,
        Reason::Shutdown => ExitReason::Shutdown,
        Reason::Kill => ExitReason::Kill,
        Reason::Killed => ExitReason::Killed,
        Reason::NoProc => ExitReason::NoProc,
        Reason::Boom => ExitReason::custom("boom"),
        Reason::Panic => unreachable!("nobody is sent a panic"),
    }
}

fn reason_text(reason: &ExitReason) -> String {
    let reason = match reason {
        ExitReason::Normal => Reason::Normal,
        ExitReason::Shutdown => Reason::Shutdown,
        ExitReason::Kill => Reason::Kill,
        ExitReason::Killed => Reason::Killed,
        ExitReason::NoProc => Reason::NoProc,
        ExitReason::Custom(value) if value.downcast_ref() == Some(&"boom") => Reason::Boom,
        ExitReason::Panic(info) if info.message() == EXPECTED => Reason::Panic,
        other => return format!("{other:?}"),
    };
    reason.to_string()
}
