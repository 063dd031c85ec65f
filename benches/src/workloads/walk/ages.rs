//! What a walker knows of the age of messages, against a time that each message was sent at.

use std::thread;
use std::time::Duration;

use whitebeam::{Actor, ActorRef, Context, ExitReason, Runtime};

use crate::failure::{Failure, expect_count};
use crate::under_test;

const SLOW: usize = 20;
/// Messages for each of them in a millisecond, of which one or none is handled.
const EACH: usize = 2;
const EVERY: Duration = Duration::from_millis(10);
const ROUNDS: f64 = 1_000.0;
const ROUNDS_LEAST: f64 = 50.0;
const MS: Duration = Duration::from_millis(1);

/// What was measured, in milliseconds.
pub(super) struct Ages {
    /// How far apart the bounds of an age are, as a rule.
    pub(super) apart_p50: f64,
    /// At most.
    pub(super) apart_max: f64,
    /// How far their middle is from the truth, as a rule.
    pub(super) off_p50: f64,
}

/// The runtime's time before and after a message was sent.
type Stamp = (Duration, Duration);

/// Sends to actors that are too slow, and looks.
///
/// # Errors
///
/// When an actor has ended, or an age lies outside of its bounds.
pub(super) fn measure(workers: usize, scale: f64) -> Result<Ages, Failure> {
    let rt = under_test::runtime(workers)?;
    let slow: Vec<_> = (0..SLOW).map(|_| rt.spawn::<Slow>(())).collect();
    // A first look, before any message.
    let _ = rt.diagnose();
    let walker = rt.walker(EVERY).map_err(Failure::system("starting the walker"))?;
    let mut stamps: Vec<Vec<Stamp>> = vec![Vec::new(); SLOW];
    let (mut apart, mut off, mut wrong) = (Vec::new(), Vec::new(), 0);
    for _ in 0..(ROUNDS * scale).max(ROUNDS_LEAST) as u64 {
        for (one, stamps) in slow.iter().zip(&mut stamps) {
            for _ in 0..EACH {
                let before = rt.uptime();
                one.cast(()).map_err(Failure::library("sending to a slow actor"))?;
                stamps.push((before, rt.uptime()));
            }
        }
        thread::sleep(MS);
        for (one, stamps) in slow.iter().zip(&stamps) {
            let Some(seen) = look(&rt, one, stamps) else { continue };
            wrong += u64::from(!seen.is_within);
            apart.push(seen.apart);
            off.push(seen.off);
        }
    }
    drop(walker);
    for one in &slow {
        rt.exit(one, ExitReason::Kill);
    }
    under_test::end(rt)?;
    expect_count("ages outside of their bounds", 0, wrong)?;
    let apart_max = apart.iter().copied().fold(0.0, f64::max);
    Ok(Ages { apart_p50: median(apart), apart_max, off_p50: median(off) })
}

struct Seen {
    is_within: bool,
    apart: f64,
    off: f64,
}

/// `None`: nothing waits, or a message was taken at this very moment.
fn look(rt: &Runtime, one: &ActorRef<()>, stamps: &[Stamp]) -> Option<Seen> {
    let before = (rt.info(one)?.handled, rt.uptime());
    let info = rt.info(one)?;
    let after = rt.uptime();
    let age = info.oldest_message.filter(|_| info.handled == before.0)?;
    // With a look ahead of all messages there is an upper bound.
    let most = age.at_most?;
    // The first that waits, of all that were ever sent.
    let (sent_behind, sent_before) = stamps.get(info.handled as usize)?;
    let oldest = after.saturating_sub(*sent_behind);
    let youngest = before.1.saturating_sub(*sent_before);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Some(Seen {
        is_within: age.at_least <= oldest && youngest <= most,
        apart: ms(most) - ms(age.at_least),
        off: (ms(age.at_least + most) - ms(oldest + youngest)).abs() / 2.0,
    })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Takes a millisecond or more for a message.
struct Slow;

impl Actor for Slow {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Slow)
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        cx.runtime().sleep(MS).await;
        Ok(())
    }
}
