//! Events that overlap: a supervisor of two or three children to which some things happen at once, in every order that
//! a scheduler could make with so many delays, and at the moment at which a child that hangs has had its time.
//!
//! What is held against it is the model, to which the same things happen one after the other: of some order of them, all
//! answers, all starts, and the children there are in the end, must be the model's. That is Herlihy and Wing's
//! linearizability, with two exceptions. Who asks a supervisor that ends meanwhile is told just that. And one that is told
//! to shut down does so at once, where OTP's is done with the restart of a group first: with a stop among the events the
//! starts may be the first ones only of the model's.
//!
//! A restart that fails is tried again behind what has come meanwhile, so that each try is one of
//! the things to be put in order. An end is one of the incarnation that was there at the beginning.

use std::{collections::BTreeSet, collections::VecDeque, time::Duration};

use futures_util::future::join_all;
use whitebeam_actor::{ActorRef, ExitReason, Handle};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildError, ChildState, Intensity, Restart, Supervisor, SupervisorRef,
};
use whitebeam_testkit::{Leaks, Sim};

use super::{
    STRATEGIES,
    model::{Kid, Model, State, Strategy},
};
use crate::{
    support::{Gate, Log, Msg, Setup, Tidy, kind},
    tree::{current, inits_and_ends, state_in},
};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The first incarnation of a child ends by itself.
    Normal(u64),
    Crash(u64),
    Terminate(u64),
    Restart(u64),
    Delete(u64),
    /// The supervisor is told to shut down.
    Stop,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// None was asked for.
    None,
    Done,
    NotFound,
    Running,
    Restarting,
    Failed,
    Gone,
    /// The supervisor has ended while it was at it: it was done, or it was not.
    Cut,
}

/// All that can be seen of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    /// In the order of the events.
    answers: Vec<Answer>,
    starts: Vec<u64>,
    /// `None`: the supervisor has ended.
    children: Option<Vec<(u64, bool)>>,
}

impl Seen {
    /// Whether this may be seen where the model gives that. `is_stopped`: the supervisor is told to shut down, which
    /// acts at once, also in the midst of what it is at.
    fn is_one_of(&self, allowed: &BTreeSet<Seen>, is_stopped: bool) -> bool {
        let is_cut = is_stopped && self.children.is_none();
        let agree = |one: &Answer, other: &Answer| {
            one == other || (*one == Answer::Cut && self.children.is_none())
        };
        allowed.iter().any(|other| {
            self.children == other.children
                && (self.starts == other.starts || is_cut && other.starts.starts_with(&self.starts))
                && self.answers.iter().zip(&other.answers).all(|(one, other)| agree(one, other))
        })
    }
}

/// A supervisor and what happens to it.
#[derive(Clone, Debug)]
struct Scene {
    strategy: Strategy,
    /// Of the children 1, 2, ..
    restarts: Vec<Restart>,
    intensity: u32,
    /// This one never ends by itself when it is told to.
    hangs: Option<u64>,
    /// So many starts of this one fail, when it has started once.
    fails: (u64, u32),
    /// The later ones happen at the moment at which a child has had its time that was told to end at the beginning.
    events: Vec<(Event, bool)>,
}

/// How long children get to end.
const TIME: Duration = Duration::from_secs(5);

impl Scene {
    fn child(&self, id: u64, log: &Log) -> Setup {
        let (fails, times) = self.fails;
        let times = if fails == id { times } else { 0 };
        let starts = std::sync::atomic::AtomicU32::new(0);
        let setup = Setup::new(id, log).init(move |_| {
            let before = starts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let is_good = before == 0 || before > times;
            async move { if is_good { Ok(()) } else { Err(ExitReason::custom("as planned")) } }
        });
        if self.hangs != Some(id) {
            return setup;
        }
        // A child that has ended by itself does not hang.
        setup.terminate(|reason| async move {
            if matches!(reason, ExitReason::Shutdown) {
                Gate::new().passed().await;
            }
        })
    }

    /// What is seen of Whitebeam's supervisor.
    async fn play(&self, rt: &Handle) -> Seen {
        let log = Log::new();
        let mut tree = match self.strategy {
            Strategy::OneForOne => Supervisor::one_for_one(),
            Strategy::OneForAll => Supervisor::one_for_all(),
            Strategy::RestForOne => Supervisor::rest_for_one(),
        };
        let period = Duration::from_secs(3_600);
        tree = tree.with_intensity(Intensity::Limited { restarts: self.intensity, period });
        let mut children = Vec::new();
        for (id, restart) in (1..).zip(&self.restarts) {
            let child = Child::new::<Tidy>(id as usize, self.child(id, &log)).restart(*restart);
            children.push(tree.child_with(child));
        }
        let root = tree.start(rt).await.unwrap();
        let first: Vec<ActorRef<Msg>> = children.iter().map(current).collect();
        let happen = self.events.iter().map(|(event, is_late)| {
            let (rt, root, event) = (rt.clone(), root.clone(), *event);
            let child = match event {
                Event::Normal(id) | Event::Crash(id) => Some(first[id as usize - 1].clone()),
                _ => None,
            };
            let later = is_late.then(|| rt.sleep(TIME));
            rt.clone().spawn_task(async move {
                if let Some(later) = later {
                    later.await;
                }
                happen(&rt, &root, event, child).await
            })
        });
        let answers: Vec<Answer> = join_all(happen.collect::<Vec<_>>()).await;
        rt.sleep(4 * TIME).await;
        let children = root.which_children().await.ok();
        let children = children.map(|children| {
            let is_there = |id: &u64| state_in(&children, *id).is_some();
            let ids = (1..=self.restarts.len() as u64).filter(is_there);
            ids.map(|id| match state_in(&children, id) {
                Some(ChildState::Running(pid)) => (id, rt.is_alive(pid)),
                state => (id, state != Some(ChildState::Stopped)),
            })
            .collect()
        });
        let down = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        let reason = down.await.reason;
        assert!(matches!(kind(&reason), "shutdown" | "noproc"), "{reason}");
        let starts = inits_and_ends(&log).into_iter().filter(|(what, _)| *what == '+');
        Seen { answers, starts: starts.map(|(_, id)| id).collect(), children }
    }

    /// What may be seen: of every order of the events.
    fn allowed(&self) -> BTreeSet<Seen> {
        let kids = (1..).zip(&self.restarts);
        let kids: Vec<Kid> =
            kids.map(|(id, restart)| Kid::new(id, *restart, AutoShutdown::Never, false)).collect();
        let mut model = Model {
            strategy: self.strategy,
            auto_shutdown: AutoShutdown::Never,
            left: self.intensity,
            kids,
            failing: Vec::new(),
            trace: Vec::new(),
            tries: VecDeque::new(),
            ended: false,
        };
        for place in 0..model.kids.len() {
            model.begin(place);
        }
        model.failing.push(self.fails);
        let mut allowed = BTreeSet::new();
        let answers = vec![None; self.events.len()];
        self.orders(&model, &answers, &mut allowed);
        allowed
    }

    fn orders(&self, model: &Model, answers: &[Option<Answer>], allowed: &mut BTreeSet<Seen>) {
        if !model.tries.is_empty() {
            let mut model = model.clone();
            model.try_again();
            self.orders(&model, answers, allowed);
        }
        // Also what comes later, ahead of what was there at the beginning: that may wait for a child that hangs.
        for (place, (event, _)) in self.events.iter().enumerate() {
            if answers[place].is_none() {
                let (mut model, mut answers) = (model.clone(), answers.to_vec());
                answers[place] = Some(happens(&mut model, *event));
                self.orders(&model, &answers, allowed);
            }
        }
        if model.tries.is_empty()
            && let Some(answers) = answers.iter().copied().collect()
        {
            let starts = model.trace.iter().filter(|(what, _)| *what == '+');
            let children = model.kids.iter().map(|kid| (kid.id, kid.state == State::Running));
            allowed.insert(Seen {
                answers,
                starts: starts.map(|(_, id)| *id).collect(),
                children: (!model.ended).then(|| children.collect()),
            });
        }
    }

    /// Plays it in all orders of so many delays, and gives their number.
    fn check(&self, delays: u32) -> usize {
        let allowed = self.allowed();
        let is_stopped = self.events.iter().any(|(event, _)| *event == Event::Stop);
        let report = Sim::new().all_orders(delays).leaks(Leaks::Forbid).run(|rt| {
            let allowed = &allowed;
            async move {
                let seen = self.play(&rt).await;
                assert!(
                    seen.is_one_of(allowed, is_stopped),
                    "{self:#?}\n{seen:#?}\nallowed:\n{allowed:#?}"
                );
            }
        });
        report.runs.len()
    }
}

async fn happen(
    rt: &Handle,
    root: &SupervisorRef,
    event: Event,
    child: Option<ActorRef<Msg>>,
) -> Answer {
    let end = |reason| {
        // It may have been ended by its supervisor.
        let _ = child.as_ref().map(|child| child.cast(Msg::End(reason)));
        Answer::None
    };
    let of = |answer: Result<(), ChildError>| match answer {
        Ok(()) => Answer::Done,
        Err(ChildError::NotFound) => Answer::NotFound,
        Err(ChildError::Running) => Answer::Running,
        Err(ChildError::ChildRestarting) => Answer::Restarting,
        Err(ChildError::Start(_)) => Answer::Failed,
        Err(ChildError::NoSupervisor) => Answer::Gone,
        Err(ChildError::Exit(_)) => Answer::Cut,
        Err(other) => panic!("{other:?}"),
    };
    match event {
        Event::Normal(_) => end(ExitReason::Normal),
        Event::Crash(_) => end(ExitReason::custom("crash")),
        Event::Terminate(id) => of(root.terminate_child(id as usize).await),
        Event::Restart(id) => of(root.restart_child(id as usize).await.map(|_| ())),
        Event::Delete(id) => of(root.delete_child(id as usize).await),
        Event::Stop => {
            rt.exit(root, ExitReason::Shutdown);
            Answer::None
        }
    }
}

fn happens(model: &mut Model, event: Event) -> Answer {
    let end = |model: &mut Model, id: u64, is_orderly| {
        let starts = model.trace.iter().filter(|(what, other)| *what == '+' && *other == id);
        let is_first = starts.count() == 1;
        let state = model.place(id).map(|place| model.kids[place].state);
        if !model.ended && is_first && state == Some(State::Running) {
            model.crashed(id, is_orderly);
        }
        Answer::None
    };
    let (id, what) = match event {
        Event::Normal(id) => return end(model, id, true),
        Event::Crash(id) => return end(model, id, false),
        Event::Stop if model.ended => return Answer::None,
        Event::Stop => {
            model.end();
            return Answer::None;
        }
        Event::Terminate(id) | Event::Restart(id) | Event::Delete(id) if model.ended => {
            let _ = id;
            return Answer::Gone;
        }
        Event::Terminate(id) => (id, 't'),
        Event::Restart(id) => (id, 'r'),
        Event::Delete(id) => (id, 'd'),
    };
    let Some(place) = model.place(id) else { return Answer::NotFound };
    match (what, model.kids[place].state) {
        ('t', _) => {
            model.stop(place);
            if model.kids[place].restart == Restart::Temporary {
                model.kids.remove(place);
            }
            Answer::Done
        }
        (_, State::Running) => Answer::Running,
        (_, State::Restarting) => Answer::Restarting,
        ('d', State::Stopped) => {
            model.kids.remove(place);
            Answer::Done
        }
        (_, State::Stopped) => {
            if model.begin(place) {
                Answer::Done
            } else {
                Answer::Failed
            }
        }
    }
}

/// What may happen to each of two children, and to the supervisor.
fn events() -> Vec<Event> {
    let of = |id| {
        [
            Event::Normal(id),
            Event::Crash(id),
            Event::Terminate(id),
            Event::Restart(id),
            Event::Delete(id),
        ]
    };
    let children = [1, 2].into_iter().flat_map(of);
    children.chain([Event::Stop]).collect()
}

/// Checks all scenes of two children with pairs of events, and gives how many runs that took.
///
/// `every`: one of so many scenes.
fn pairs(
    strategy: Strategy,
    restarts: &[[Restart; 2]],
    late: bool,
    delays: u32,
    every: usize,
) -> usize {
    let mut number = 0;
    let mut runs = 0;
    for restarts in restarts {
        for (hangs, fails) in [(None, (1, 0)), (None, (1, 2)), (Some(2), (1, 0)), (Some(1), (1, 1))]
        {
            for one in events() {
                for other in events() {
                    number += 1;
                    if number % every != 0 {
                        continue;
                    }
                    let scene = Scene {
                        strategy,
                        restarts: restarts.to_vec(),
                        intensity: 2,
                        hangs,
                        fails,
                        events: vec![(one, false), (other, late)],
                    };
                    runs += scene.check(delays);
                }
            }
        }
    }
    runs
}

const KINDS: [[Restart; 2]; 3] = [
    [Restart::Permanent, Restart::Transient],
    [Restart::Transient, Restart::Temporary],
    [Restart::Temporary, Restart::Permanent],
];

/// A part of the scenes that `all_pairs` has, with one delay.
#[test]
fn pairs_of_events_that_overlap() {
    for strategy in STRATEGIES {
        for late in [false, true] {
            assert!(pairs(strategy, &KINDS, late, 1, 97) > 300);
        }
    }
}

/// Every pair of events, of three pairs of restart types, with children that hang and with starts that fail, at once and one
/// at the moment at which the other's time is over, with two delays.
#[test]
#[ignore = "minutes long: run by hand with `--release`"]
fn all_pairs_of_events_that_overlap() {
    for strategy in STRATEGIES {
        for late in [false, true] {
            println!("{strategy:?}, late: {late}: {} runs", pairs(strategy, &KINDS, late, 2, 1));
        }
    }
}

/// Three events at once, upon three children.
#[test]
#[ignore = "minutes long: run by hand with `--release`"]
fn all_threes_of_events_that_overlap() {
    let third = [Event::Crash(3), Event::Terminate(3), Event::Restart(3), Event::Stop];
    for strategy in STRATEGIES {
        for restarts in KINDS {
            let mut runs = 0;
            for one in events() {
                for other in events() {
                    for third in third {
                        let scene = Scene {
                            strategy,
                            restarts: [&restarts[..], &[Restart::Permanent]].concat(),
                            intensity: 2,
                            hangs: Some(2),
                            fails: (1, 1),
                            events: vec![(one, false), (other, false), (third, false)],
                        };
                        runs += scene.check(1);
                    }
                }
            }
            println!("{strategy:?}, {restarts:?}: {runs} runs");
        }
    }
}
