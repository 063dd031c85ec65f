//! burst: whether memory comes back when a burst is over.
//!
//! - Measured, in turn: 1,000,000 messages of 32 bytes wait for one actor and are then handled (param `of`:
//!   `messages`); 200,000 actors are spawned by one, and then ended by it (`actors`). Resident memory before
//!   (`rss_before_mib`), with all of them there (`rss_peak_mib`), and when it is back or after 10 s without work
//!   (`rss_after_mib`). Back is: at most a tenth of the growth, or 6 MiB if that is more, above what it was before (the
//!   process table keeps the region of 2 MiB that it carves slots from, and those in which something lives);
//!   `back_after_s` counts from when the last message was handled, or the last actor had ended, and is not
//!   available if it never was.
//! - The runtime has the hook for idle workers ([`Builder::on_idle`](whitebeam::Builder::on_idle)) set to the
//!   allocator's collection, as a program does that wants memory back.
//! - Warm-up 1, repetitions 5, each in a fresh process: memory that an earlier run left in the allocator would make the
//!   next one look free.
//! - Checked: each message was handled, and each actor was started and has ended.
//! - Cannot show: what a program's own allocator does without that hook, or what other threads than workers hold back.

use std::env;
use std::future::IntoFuture;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Value, json};
use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};

use super::w4_spawn::Idler;
use crate::failure::{Failure, expect_count};
use crate::process;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::tally::{self, Event, Tally};
use crate::under_test;

const MESSAGES: u64 = 1_000_000;
const ACTORS: u64 = 200_000;

/// How long memory is given to come back.
const PATIENCE: Duration = Duration::from_secs(10);

const MIB: f64 = 1024.0 * 1024.0;

/// What may stay of a burst, whatever its size: see above.
const KEPT_MIB: f64 = 6.0;

/// What there is a burst of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Of {
    /// Messages to one actor.
    Messages,
    /// Actors that are started and end.
    Actors,
}

/// Runs the workload.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (of, name, full) in [(Of::Messages, "messages", MESSAGES), (Of::Actors, "actors", ACTORS)] {
        let (count, params) = (plan.scaled(full), plan.params().with("of", name));
        let series = plan.repeat(|| once_in_a_fresh_process(plan.workers, of, count))?;
        for (figure, unit) in [
            ("rss_before_mib", "MiB"),
            ("rss_peak_mib", "MiB"),
            ("rss_after_mib", "MiB"),
            ("back_after_s", "s"),
        ] {
            figures
                .push(series.figure("burst", &params, (figure, unit), |run| run[figure].as_f64()));
        }
    }
    Ok(figures)
}

fn once_in_a_fresh_process(workers: usize, of: Of, count: u64) -> Result<Value, Failure> {
    let doing = "running a burst in a fresh process";
    let this = env::current_exe().map_err(Failure::system("finding the harness's own program"))?;
    let of = match of {
        Of::Messages => "messages",
        Of::Actors => "actors",
    };
    let out = Command::new(this)
        .args(["burst-once", "--workers", &workers.to_string(), "--of", of])
        .args(["--count", &count.to_string()])
        .output()
        .map_err(Failure::system(doing))?;
    if !out.status.success() {
        let why =
            format!("{}; it said: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
        return Err(Failure::System { doing, why });
    }
    serde_json::from_slice(&out.stdout).map_err(Failure::system(doing))
}

/// One measurement in this process, printed as JSON for the process that started it.
///
/// # Errors
///
/// When the run fails or its count is off.
pub(crate) fn once_here(workers: usize, of: Of, count: u64) -> Result<(), Failure> {
    let rt = Runtime::builder().workers(workers).on_idle(process::collect).build();
    let rt = rt.map_err(Failure::library("starting a runtime"))?;
    let tally = Tally::start();
    let driver = rt.spawn::<Driver>(());
    let ask = |drive: &dyn Fn(Reply<()>) -> Drive| {
        let driven = driver.call(drive).no_timeout();
        rt.block_on(driven.into_future()).map_err(Failure::library("driving a burst"))
    };
    let burst = |count| -> Result<Option<u64>, Failure> {
        ask(&|reply| match of {
            Of::Messages => Drive::Fill(count, reply),
            Of::Actors => Drive::Spawn(count, reply),
        })?;
        let peak = process::resident_bytes();
        ask(&|reply| match of {
            Of::Messages => Drive::Read(reply),
            Of::Actors => Drive::End(reply),
        })?;
        Ok(peak)
    };
    // Code, threads and the allocator's own are there before the count starts.
    burst(1_000)?;
    thread::sleep(Duration::from_millis(500));
    let before = process::resident_bytes();

    let peak = burst(count)?;
    let over = Instant::now();
    let bytes = |bytes: Option<u64>| bytes.unwrap_or(0) as f64;
    let goal = bytes(before) + (0.1 * (bytes(peak) - bytes(before))).max(KEPT_MIB * MIB);
    let (after, back) = loop {
        let (now, passed) = (process::resident_bytes(), over.elapsed());
        if bytes(now) <= goal {
            break (now, Some(passed.as_secs_f64()));
        }
        if passed > PATIENCE {
            break (now, None);
        }
        thread::sleep(Duration::from_millis(20));
    };

    let all = count + 1_000;
    match of {
        Of::Messages => expect_count("messages handled", all, tally.of(Event::Handled))?,
        Of::Actors => {
            expect_count("actors started", all, tally.of(Event::Started))?;
            expect_count("actors ended", all, tally.of(Event::Ended))?;
        }
    }
    let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / MIB);
    let is_known = before.is_some();
    let answer = json!({
        "rss_before_mib": mib(before),
        "rss_peak_mib": mib(peak),
        "rss_after_mib": mib(after),
        "back_after_s": back.filter(|_| is_known),
    });
    println!("{answer}");
    under_test::end(rt)
}

/// Makes bursts: fills a reader's mailbox and lets it read, spawns actors and ends them.
struct Driver {
    tally: Tally,
    reader: ActorRef<Mail>,
    go: Option<Reply<()>>,
    idlers: Vec<ActorRef<Reply<u64>>>,
    /// Messages and actors that there were.
    total: u64,
}

/// What the driver does. Answered when it is done.
enum Drive {
    Fill(u64, Reply<()>),
    Read(Reply<()>),
    Spawn(u64, Reply<()>),
    End(Reply<()>),
    /// Answers when there were so many of an event.
    Wait(Event, Reply<()>),
}

impl Actor for Driver {
    type Args = ();
    type Msg = Drive;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let reader = cx.spawn::<Reader>(());
        Ok(Self { tally: Tally::start(), reader, go: None, idlers: Vec::new(), total: 0 })
    }

    async fn handle(&mut self, drive: Drive, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let (event, reply) = match drive {
            Drive::Fill(count, reply) => {
                let (go, gate) = whitebeam::oneshot();
                self.reader.cast(Mail::Hold(gate))?;
                self.go = Some(go);
                for n in 0..count {
                    self.reader.cast(Mail::Read([n; 4]))?;
                }
                self.total += count;
                reply.send(());
                return Ok(());
            }
            Drive::Read(reply) => {
                if let Some(go) = self.go.take() {
                    go.send(());
                }
                (Event::Handled, reply)
            }
            Drive::Spawn(count, reply) => {
                self.idlers = (0..count).map(|n| cx.spawn::<Idler>(n)).collect();
                self.total += count;
                (Event::Started, reply)
            }
            Drive::End(reply) => {
                for idler in self.idlers.drain(..) {
                    cx.exit(&idler, ExitReason::Shutdown);
                }
                self.idlers = Vec::new();
                (Event::Ended, reply)
            }
            Drive::Wait(event, reply) => (event, reply),
        };
        if self.tally.of(event) == self.total {
            reply.send(());
        } else {
            cx.me().cast(Drive::Wait(event, reply))?;
        }
        Ok(())
    }
}

/// Reads its mail when it may.
struct Reader;

enum Mail {
    Hold(whitebeam::Answered<()>),
    Read([u64; 4]),
}

impl Actor for Reader {
    type Args = ();
    type Msg = Mail;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn handle(&mut self, mail: Mail, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match mail {
            Mail::Hold(gate) => drop(gate.await),
            Mail::Read(what) => {
                std::hint::black_box(what);
                tally::count(Event::Handled);
            }
        }
        Ok(())
    }
}
