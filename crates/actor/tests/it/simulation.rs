//! The simulation: a run is a function of the program and the seed.

use crate::support;

use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;
use support::puppet::{Plain, Script, Tidy, ask, because, later, now, plain};
use whitebeam_actor::{Actor, ActorRef, CallError, Context, ExitReason, Handle, Runtime};

type Trace = Arc<Mutex<Vec<String>>>;

/// Passes a number on, and writes down what it gets.
struct Node {
    trace: Trace,
    name: usize,
    others: Vec<ActorRef<Msg>>,
}

#[derive(Clone)]
enum Msg {
    Others(Vec<ActorRef<Msg>>),
    Number(u64),
    Exit(String),
}

impl Actor for Node {
    type Args = (Trace, usize);
    type Msg = Msg;

    async fn init((trace, name): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|exit| Msg::Exit(exit.reason.to_string()));
        Ok(Node { trace, name, others: Vec::new() })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let now = cx.runtime().uptime().as_nanos();
        match msg {
            Msg::Others(others) => {
                for other in &others {
                    cx.link(other);
                    let number = other.pid();
                    cx.monitor(other, move |down| {
                        Msg::Exit(format!("down {number} {}", down.reason))
                    });
                }
                self.others = others;
            }
            Msg::Number(n) => {
                self.trace.lock().push(format!("{now} {} got {n}", self.name));
                if n == 0 {
                    return Err(because("zero"));
                }
                let to = (n * 7 + self.name as u64) as usize % self.others.len();
                let _ = self.others[to].cast(Msg::Number(n - 1));
                if n % 5 == 0 {
                    cx.send_after(Duration::from_micros(n % 3), Msg::Number(n / 2));
                }
                if n % 7 == 0 {
                    cx.runtime().sleep(Duration::from_micros(n)).await;
                }
            }
            Msg::Exit(what) => self.trace.lock().push(format!("{now} {} told {what}", self.name)),
        }
        Ok(())
    }
}

async fn play(rt: &Handle, trace: &Trace) {
    let mut nodes = Vec::new();
    for name in 0..12 {
        nodes.push(rt.start::<Node>((trace.clone(), name)).await.expect("start"));
    }
    for node in &nodes {
        node.cast(Msg::Others(nodes.clone())).expect("cast");
    }
    for (n, node) in nodes.iter().enumerate() {
        node.cast(Msg::Number(20 + n as u64)).expect("cast");
    }
    rt.sleep(Duration::from_secs(1)).await;
    rt.exit(&nodes[3], ExitReason::Kill);
    rt.sleep(Duration::from_secs(1)).await;
    let report = rt.shutdown(Duration::from_secs(5)).await;
    trace.lock().push(format!("{report}"));
}

fn run(seed: u64) -> Vec<String> {
    let rt = Runtime::simulated(seed).expect("a tag for pids");
    let trace = Trace::default();
    rt.block_on(play(&rt, &trace));
    drop(rt);
    Arc::into_inner(trace).expect("all actors are gone").into_inner()
}

/// Also with links and monitors, whose order of firing is the runtime's own, and although each of these
/// runtimes has another tag in its pids.
#[test]
fn the_same_seed_makes_the_same_trace() {
    let mut traces = Vec::new();
    for seed in 0..20 {
        let trace = run(seed);
        assert!(trace.len() > 100, "{} entries", trace.len());
        for _ in 0..3 {
            // Others in between take tags and addresses.
            let _other = Runtime::simulated(99).expect("a tag for pids");
            let again = run(seed);
            for (at, (one, two)) in trace.iter().zip(&again).enumerate() {
                assert_eq!(one, two, "entry {at} of seed {seed}");
            }
            assert_eq!(trace.len(), again.len());
        }
        traces.push(trace);
    }
    traces.sort();
    traces.dedup();
    assert!(traces.len() > 10, "{} different traces of 20 seeds", traces.len());
}

#[test]
fn virtual_time_passes_when_nothing_else_can() {
    let rt = Runtime::simulated(5).expect("a tag for pids");
    rt.block_on(async {
        let puppet = plain(&rt).await;
        rt.sleep(Duration::from_secs(3600)).await;
        assert_eq!(rt.uptime(), Duration::from_secs(3600));
        let clock = rt.handle();
        ask(&puppet, move |cx| cx.send_after(Duration::from_secs(1), now(|_| Err(because("due")))))
            .await;
        let down = rt.down(&puppet).await;
        assert_eq!(down.reason.downcast_ref(), Some(&"due"));
        assert_eq!(clock.uptime(), Duration::from_secs(3601));
    });
}

#[test]
fn a_call_from_outside_drives_the_simulation() {
    let rt = Runtime::simulated(6).expect("a tag for pids");
    let puppet = rt.spawn::<Plain>(Script::new());
    let answer = puppet.call(|reply| {
        later(move |_, _| {
            async move {
                reply.send(7_u32);
                Ok(())
            }
            .boxed()
        })
    });
    assert_eq!(answer.blocking().expect("answered"), 7);
}

#[test]
#[should_panic(expected = "stands still")]
fn waiting_for_what_cannot_happen_is_told() {
    let rt = Runtime::simulated(8).expect("a tag for pids");
    let tidy = rt.spawn::<Tidy>(Script::new());
    rt.block_on(rt.down(&tidy));
}

/// One thread is inside a handler, by a call that drives the simulation, while another one drops the runtime.
#[test]
fn a_simulation_is_dropped_while_another_thread_drives_it() {
    for seed in 0..32 {
        let rt = Runtime::simulated(seed).expect("a tag for pids");
        let puppet = rt.spawn::<Plain>(Script::new());
        let handle = rt.handle();
        let token = Arc::new(());
        let held = token.clone();
        let (inside, is_inside) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let answer = puppet.call(|reply| {
                now(move |_| {
                    inside.send(()).expect("somebody waits for it");
                    // The drop has begun when nothing can be started any more.
                    loop {
                        let held = held.clone();
                        let script = Script::new().on_drop(move || drop(held));
                        if !handle.spawn::<Plain>(script).is_alive() {
                            break;
                        }
                    }
                    reply.send(7_u32);
                    Ok(())
                })
            });
            let answered = answer.blocking();
            // It comes before the drop has the simulation to itself, or waits for the end and finds nobody then.
            let late = puppet.call(|reply| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            });
            (answered, late.blocking())
        });
        is_inside.recv().expect("the handler runs");
        drop(rt);
        let (answered, late) = other.join().expect("no panic on the other thread");
        assert_eq!(answered.expect("the handler ran to its end"), 7);
        assert!(!matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
        assert_eq!(Arc::strong_count(&token), 1, "what was spawned meanwhile is gone");
    }
}
