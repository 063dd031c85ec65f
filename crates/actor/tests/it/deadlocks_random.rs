//! Random programs of calls, run beside a model that knows at each moment who waits for whom and who holds what.
//!
//! A few actors get requests, each with a list of steps for its handler: wait, answer, defer the reply and hand it on,
//! keep it, call another with such a list (with a long timeout or none, a short one, or beside a timer, or two at once).
//! What is handed on or kept is answered by a task, what is kept not before its handler is done. So there is nothing that
//! waits for ever but a circle of calls:
//!
//! - at each alarm the path is looked up in the model: each of its calls is unanswered, awaited alone and for long, and its
//!   request not taken, or in the hand of the next one's handler and not deferred;
//! - a long call never ends with a timeout, and the program always ends: no circle is missed.

use crate::support;

use std::{future::IntoFuture, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, join, join_all, select},
};
use parking_lot::Mutex;
use support::{scaled, threaded};
use whitebeam_actor::{
    Actor, ActorRef, CallError, CallPath, Context, ExitReason, Handle, Pid, Reply,
};
use whitebeam_testkit::Sim;

const MS: Duration = Duration::from_millis(1);

/// A small generator of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// What a handler does.
#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Answer,
    /// The reply is answered by a task, so many milliseconds later.
    HandOn(u32),
    /// As above, but not before the handler is done.
    Keep(u32),
    Call(How, Call),
    /// Two at once: the first for long, the second not. Two for long could be two circles, which is nothing certain.
    Both(Call, Call),
}

#[derive(Clone, Debug)]
struct Call {
    to: usize,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Long,
    Endless,
    Short(u32),
    Beside(u32),
}

/// Steps that come to `size` calls at most.
fn steps(dice: &mut Dice, actors: usize, size: &mut usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..1 + dice.roll(3) {
        steps.push(match dice.roll(12) {
            0 | 1 => Step::Wait([0, 1, 5, 8, 9, 20][dice.roll(6)]),
            2 => Step::Answer,
            3 => Step::HandOn(dice.roll(40) as u32),
            4 => Step::Keep(dice.roll(40) as u32),
            kind if *size > 0 => {
                let mut call = || {
                    *size = size.saturating_sub(1);
                    Call { to: dice.roll(actors), steps: steps_of(dice, actors, size) }
                };
                match kind {
                    5 => Step::Both(call(), call()),
                    6 => Step::Call(How::Short(30), call()),
                    7 => Step::Call(How::Beside(30), call()),
                    8 => Step::Call(How::Endless, call()),
                    _ => Step::Call(How::Long, call()),
                }
            }
            _ => Step::Wait(1),
        });
    }
    steps
}

fn steps_of(dice: &mut Dice, actors: usize, size: &mut usize) -> Vec<Step> {
    steps(dice, actors, size)
}

/// What is known of all requests and handlers.
#[derive(Default)]
struct Model {
    pids: Vec<Pid>,
    requests: Vec<Request>,
    /// By actor: the request that its handler was called for.
    in_hand: Vec<Option<usize>>,
    alarms: usize,
}

struct Request {
    /// `None`: not by an actor.
    from: Option<usize>,
    to: usize,
    /// The caller waits for it alone, with a long timeout or none.
    is_certain: bool,
    is_taken: bool,
    is_deferred: bool,
    is_answered: bool,
    /// The call is over for its caller.
    is_over: bool,
}

impl Model {
    fn call(&mut self, from: Option<usize>, to: usize, is_certain: bool) -> usize {
        self.requests.push(Request {
            from,
            to,
            is_certain,
            is_taken: false,
            is_deferred: false,
            is_answered: false,
            is_over: false,
        });
        self.requests.len() - 1
    }

    /// What the actor waits for alone, and cannot get before the next one has gone on.
    fn edge(&self, from: usize) -> Option<&Request> {
        let mut waits =
            self.requests.iter().enumerate().filter(|(_, it)| it.from == Some(from) && !it.is_over);
        let (id, request) = waits.next()?;
        let is_stuck = !request.is_taken || self.in_hand[request.to] == Some(id);
        let holds = request.is_certain && is_stuck && !request.is_deferred && !request.is_answered;
        (holds && waits.next().is_none()).then_some(request)
    }

    /// An alarm has come to `at`, whose call is not over in the model yet.
    fn check(&mut self, at: usize, path: &CallPath) {
        self.alarms += 1;
        let actors: Vec<usize> = path
            .pids()
            .map(|pid| self.pids.iter().position(|it| *it == pid).expect("an actor"))
            .collect();
        assert_eq!(actors[0], at, "{path}");
        for (place, from) in actors.iter().enumerate() {
            let next = actors[(place + 1) % actors.len()];
            let edge = self.edge(*from);
            assert!(
                edge.is_some_and(|it| it.to == next),
                "{from} does not wait for {next}: {path}"
            );
        }
    }
}

struct World {
    model: Mutex<Model>,
    actors: Mutex<Vec<ActorRef<Msg>>>,
    rt: Handle,
}

struct Msg {
    id: usize,
    steps: Vec<Step>,
    reply: Reply<()>,
}

struct Player {
    world: Arc<World>,
    me: usize,
}

impl Actor for Player {
    type Args = (Arc<World>, usize);
    type Msg = Msg;

    async fn init((world, me): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Player { world, me })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let (world, me, id) = (&self.world, self.me, msg.id);
        {
            let mut model = world.model.lock();
            model.requests[id].is_taken = true;
            model.in_hand[me] = Some(id);
        }
        let mut reply = Some(msg.reply);
        let mut kept = None;
        for step in msg.steps {
            match step {
                Step::Wait(ms) => world.rt.sleep(ms * MS).await,
                Step::Answer => world.answer(id, reply.take()),
                Step::HandOn(ms) => {
                    if let Some(reply) = reply.take() {
                        world.model.lock().requests[id].is_deferred = true;
                        world.answer_later(id, reply.defer(), ms);
                    }
                }
                Step::Keep(ms) => kept = kept.or(reply.take().map(|reply| (reply, ms))),
                Step::Call(how, call) => world.call(Some(me), how, call).await,
                Step::Both(one, two) => {
                    let one = world.call(Some(me), How::Long, one);
                    join(one, world.call(Some(me), How::Short(20), two)).await;
                }
            }
        }
        world.model.lock().in_hand[me] = None;
        world.answer(id, reply);
        if let Some((reply, ms)) = kept {
            world.answer_later(id, reply, ms);
        }
        Ok(())
    }
}

impl World {
    fn answer(&self, id: usize, reply: Option<Reply<()>>) {
        if let Some(reply) = reply {
            self.model.lock().requests[id].is_answered = true;
            reply.send(());
        }
    }

    fn answer_later(self: &Arc<Self>, id: usize, reply: Reply<()>, ms: u32) {
        let world = self.clone();
        let timer = self.rt.sleep(ms * MS);
        let task = self.rt.spawn_task(async move {
            timer.await;
            world.answer(id, Some(reply));
        });
        task.detach();
    }

    fn call(&self, from: Option<usize>, how: How, call: Call) -> BoxFuture<'_, ()> {
        async move {
            let is_certain = matches!(how, How::Long | How::Endless);
            let to = self.actors.lock()[call.to].clone();
            let id = self.model.lock().call(from, call.to, is_certain);
            let future = to.call(|reply| Msg { id, steps: call.steps, reply });
            let future = match how {
                // Behind any hold-up of the machine's.
                How::Long => future.timeout(Duration::from_secs(60)),
                How::Endless | How::Beside(_) => future.no_timeout(),
                How::Short(ms) => future.timeout(ms * MS),
            };
            let result = match how {
                How::Beside(ms) => {
                    match select(future.into_future(), self.rt.sleep(ms * MS)).await {
                        Either::Left((result, _)) => result,
                        Either::Right(((), _)) => Err(CallError::Timeout { accepted: true }),
                    }
                }
                _ => future.await,
            };
            let mut model = self.model.lock();
            match &result {
                Ok(()) => assert!(model.requests[id].is_answered),
                // To itself: at once, whatever it is awaited with.
                Err(CallError::Deadlock(path)) if from == Some(call.to) => {
                    let pid = model.pids[call.to];
                    assert!(path.pids().eq([pid]), "{path}");
                }
                Err(CallError::Deadlock(path)) => {
                    let at = from.expect("only actors are in circles");
                    model.check(at, path);
                }
                Err(CallError::Timeout { .. }) if !is_certain => {}
                Err(error) => panic!("{error:?} from {from:?} to {} ({how:?})", call.to),
            }
            model.requests[id].is_over = true;
        }
        .boxed()
    }
}

async fn run(rt: Handle, seed: u64) -> usize {
    let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let actors = 2 + dice.roll(4);
    let world =
        Arc::new(World { model: Mutex::default(), actors: Mutex::default(), rt: rt.clone() });
    world.model.lock().in_hand = vec![None; actors];
    for me in 0..actors {
        let actor = rt.start::<Player>((world.clone(), me)).await.expect("an actor");
        world.model.lock().pids.push(actor.pid());
        world.actors.lock().push(actor);
    }
    let mut size = 4 + dice.roll(12);
    let requests: Vec<Call> = (0..1 + dice.roll(actors + 1))
        .map(|_| Call { to: dice.roll(actors), steps: steps(&mut dice, actors, &mut size) })
        .collect();
    // From outside: never in a circle.
    join_all(requests.into_iter().map(|call| world.call(None, How::Endless, call))).await;
    // What is still handled, for callers that have given up, must come to an end as well.
    let all = world.actors.lock().clone();
    let last = all
        .iter()
        .enumerate()
        .map(|(to, _)| world.call(None, How::Endless, Call { to, steps: Vec::new() }));
    join_all(last).await;
    world.actors.lock().clear();
    world.model.lock().alarms
}

#[test]
fn of_random_programs_every_circle_is_found_and_nothing_else() {
    let alarms = Mutex::new(0);
    Sim::new().seeds(scaled(800, 60) as u64).run(|rt| {
        let alarms = &alarms;
        async move {
            let seed = rt.seed();
            *alarms.lock() += run(rt.handle(), seed).await;
        }
    });
    // Else the programs are too tame to say anything.
    assert!(std::env::var_os("WHITEBEAM_SEED").is_some() || *alarms.lock() > 10);
}

/// What the model says at an alarm is so on threads as well: those in a circle can't go on meanwhile.
#[test]
fn of_random_programs_on_threads_every_circle_is_found_and_nothing_else() {
    threaded(|rt| async move {
        let programs = (0..scaled(200, 20) as u64).map(|seed| run(rt.clone(), 1_000_000 + seed));
        let alarms: usize = join_all(programs).await.into_iter().sum();
        assert!(alarms > 0);
    });
}
