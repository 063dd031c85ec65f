//! Links, monitors, and what is told of a crash.
//!
//! A link joins the fates of two processes: when one ends abnormally, so does the other, unless it traps exits,
//! which makes a message of the other's end. A monitor only tells: whoever watches gets one message. And what ends
//! by its own fault leaves a crash report, which this program takes by a hook; without one it would be a block on
//! stderr.
//!
//! Run it with `cargo run --release --example links`.

#![allow(clippy::print_stdout, reason = "a program for people to watch")]

use std::{error::Error, fmt, sync::mpsc};

use mimalloc::MiMalloc;
use whitebeam::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Divides 100 by what it is asked for.
struct Divider {
    divided: u32,
}

struct Divide(i32, Reply<i32>);

impl Actor for Divider {
    type Args = ();
    type Msg = Divide;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Divider { divided: 0 })
    }

    async fn handle(
        &mut self,
        Divide(by, reply): Divide,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(100 / by); // a zero is a bug of the caller's: let it crash
        self.divided += 1;
        Ok(())
    }

    // What of the state is to be seen in a crash report. Nothing, unless written.
    fn report_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} divisions done", self.divided)
    }
}

/// Starts a divider that is linked to it. One that traps exits outlives it.
struct Owner {
    divider: ActorRef<Divide>,
    exits: Vec<ExitReason>,
}

enum Owned {
    Divider(Reply<ActorRef<Divide>>),
    Exits(Reply<Vec<ExitReason>>),
    Exit(Exit), // what a link's exit signal becomes
}

impl Actor for Owner {
    type Args = bool;
    type Msg = Owned;

    async fn init(traps: bool, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        if traps {
            cx.trap_exit(Owned::Exit);
        }
        Ok(Owner { divider: cx.spawn_link::<Divider>(()), exits: Vec::new() })
    }

    async fn handle(&mut self, msg: Owned, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Owned::Divider(reply) => reply.send(self.divider.clone()),
            Owned::Exits(reply) => reply.send(self.exits.clone()),
            Owned::Exit(exit) => {
                assert_eq!(exit.from, Some(self.divider.pid()));
                self.exits.push(exit.reason);
                self.divider = cx.spawn_link::<Divider>(()); // supervisors do this for you
            }
        }
        Ok(())
    }
}

/// A panic's text without its place.
fn text(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Panic(panic) => format!("panic: {}", panic.message()),
        other => other.to_string(),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (crashed, reports) = mpsc::channel();
    let rt = Runtime::builder()
        .workers(2)
        .on_crash(move |report| _ = crashed.send(report.clone()))
        .build()?;
    rt.block_on(async {
        for traps in [false, true] {
            println!(
                "an owner that {}:",
                if traps { "traps exits" } else { "does not trap exits" }
            );
            let owner = rt.start::<Owner>(traps).await?;
            let divider = owner.call(Owned::Divider).await?;
            let end_of_divider = rt.down(&divider); // a monitor, as a future; in an actor: `cx.monitor`
            let end_of_owner = rt.down(&owner);
            println!("  100 / 7 = {}", divider.call(|reply| Divide(7, reply)).await?);

            match divider.call(|reply| Divide(0, reply)).await {
                Err(CallError::Exit(reason)) => println!("  100 / 0: {}", text(&reason)),
                other => {
                    return Err(format!("a call that crashes its server gave {other:?}").into());
                }
            }
            println!("  the monitor is told: {}", text(&end_of_divider.await.reason));
            if traps {
                let exits = owner.call(Owned::Exits).await?;
                println!("  the owner got a message: {}", text(&exits[0]));
                let divider = owner.call(Owned::Divider).await?; // the next one
                println!("  100 / 4 = {}", divider.call(|reply| Divide(4, reply)).await?);
            } else {
                println!("  the linked owner ended as well: {}", text(&end_of_owner.await.reason));
            }

            let report = reports.recv()?;
            assert_eq!(report.pid, divider.pid());
            assert_eq!(report.parent, Some(owner.pid()));
            assert_eq!(report.state.as_deref(), Some("1 divisions done"));
            assert_eq!(text(&report.reason), "panic: attempt to divide by zero");
            println!("the crash report:\n{report}");
        }
        // Two processes crashed. The owner that went down with its divider did nothing wrong.
        assert_eq!(rt.crash_counts().total, 2);
        assert!(rt.shutdown(std::time::Duration::from_secs(5)).await.is_clean());
        Ok(())
    })
}
