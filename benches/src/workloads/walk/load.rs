//! Actors that always have work, alone and among a walker's looks.

use std::thread;
use std::time::{Duration, Instant};

use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};

use crate::failure::Failure;
use crate::under_test;

const BUSY: usize = 64;
const EVERY: Duration = Duration::from_millis(100);
const SPAN: f64 = 1.0;
/// The shortest span that says anything.
const SPAN_LEAST: f64 = 0.05;

/// What was measured.
pub(super) struct Load {
    /// Millions of messages a second, with nobody who looks.
    pub(super) alone: f64,
    /// With a walker.
    pub(super) walked: f64,
    /// How often that one looked.
    pub(super) walks: f64,
}

/// Has some of `rt`'s actors work beside those that are there, for a second each way.
///
/// # Errors
///
/// When an actor has ended.
pub(super) fn measure(rt: &Runtime, scale: f64) -> Result<Load, Failure> {
    let span = Duration::from_secs_f64((SPAN * scale).max(SPAN_LEAST));
    let busy: Vec<_> = (0..BUSY).map(|_| rt.spawn::<Busy>(())).collect();
    for one in &busy {
        one.cast(Work::Go).map_err(Failure::library("setting actors to work"))?;
    }
    thread::sleep(span / 10);
    let alone = rate(rt, &busy, span)?;
    let walker = rt.walker(EVERY).map_err(Failure::system("starting the walker"))?;
    let walked = rate(rt, &busy, span)?;
    let walks = walker.walks() as f64;
    drop(walker);
    for one in &busy {
        rt.exit(one, ExitReason::Kill);
    }
    Ok(Load { alone, walked, walks })
}

/// Millions of messages that all of them handle in a second.
fn rate(rt: &Runtime, busy: &[ActorRef<Work>], span: Duration) -> Result<f64, Failure> {
    let start = Instant::now();
    let before = handled(rt, busy)?;
    thread::sleep(span);
    let after = handled(rt, busy)?;
    Ok(super::super::m_per_s(start, after - before))
}

fn handled(rt: &Runtime, busy: &[ActorRef<Work>]) -> Result<u64, Failure> {
    rt.block_on(async {
        let mut all = 0;
        for one in busy {
            let answer = one.call(Work::Count).timeout(under_test::LONGEST_WAIT).await;
            all += answer.map_err(Failure::library("asking for a count"))?;
        }
        Ok(all)
    })
}

/// Sends itself the next message with each.
struct Busy {
    handled: u64,
}

#[derive(Debug)]
enum Work {
    Go,
    Count(Reply<u64>),
}

impl Actor for Busy {
    type Args = ();
    type Msg = Work;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { handled: 0 })
    }

    async fn handle(&mut self, msg: Work, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Work::Go => {
                self.handled += 1;
                cx.me().cast(Work::Go)?;
            }
            Work::Count(reply) => reply.send(self.handled),
        }
        Ok(())
    }
}
