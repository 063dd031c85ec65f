//! A slow `init` holds nobody up.
//!
//! Five callers ask one `DynamicSupervisor` for a greeter each, all at once, and each greeter needs
//! a second before it is ready. The `init` of a child runs in the child while the supervisor goes
//! on serving, so all five greet after about one second. With `serial_starts`, OTP's order, the
//! supervisor starts one child at a time, and the last caller waits for five seconds.
//!
//! Run it with `cargo run --release --example slow_greeter`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people to watch: it prints, by the real clock"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use whitebeam::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const CALLERS: u32 = 5;

/// Takes a second to get ready, then says hello to whoever asks.
struct Greeter {
    number: u32,
}

struct Greet(Reply<String>);

impl Actor for Greeter {
    type Args = u32;
    type Msg = Greet;

    async fn init(number: u32, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.runtime().sleep(Duration::from_secs(1)).await;
        Ok(Greeter { number })
    }

    async fn handle(
        &mut self,
        Greet(reply): Greet,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(format!("hello from greeter {}", self.number));
        Ok(())
    }
}

/// Asks the supervisor for a greeter of its own, and is greeted.
struct Caller {
    number: u32,
    greeters: DynamicRef<Greeter>,
    asked: Instant,
}

struct Ask;

impl Actor for Caller {
    type Args = (u32, DynamicRef<Greeter>, Instant);
    type Msg = Ask;

    async fn init(
        (number, greeters, asked): Self::Args,
        _cx: &mut Context<Self>,
    ) -> Result<Self, ExitReason> {
        Ok(Caller { number, greeters, asked })
    }

    async fn handle(&mut self, Ask: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let greeter = self.greeters.start_child(self.number).await?; // answered when the greeter's init is done
        let greeting = greeter.call(Greet).await?;
        println!(
            "  {:4.2} s  caller {}: {greeting}",
            self.asked.elapsed().as_secs_f64(),
            self.number
        );
        cx.stop(ExitReason::Normal);
        Ok(())
    }
}

/// Lets the callers loose on a supervisor and waits until each has been greeted.
async fn greet_all(
    rt: &Runtime,
    supervisor: DynamicSupervisor<Greeter>,
) -> Result<(), Box<dyn Error>> {
    let greeters = supervisor.start(rt).await?;
    let asked = Instant::now();
    let mut callers = Vec::new();
    for number in 1..=CALLERS {
        let caller = rt.spawn::<Caller>((number, greeters.clone(), asked));
        callers.push(rt.down(&caller));
        caller.cast(Ask)?;
    }
    for caller in callers {
        let reason = caller.await.reason;
        if !reason.is_normal() {
            return Err(reason.into());
        }
    }
    println!("  all {CALLERS} greeted after {:.2} s\n", asked.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let rt = Runtime::new()?;
    println!(
        "{CALLERS} callers ask one supervisor for a greeter each; a greeter needs 1 s to get ready.\n"
    );
    rt.block_on(async {
        println!("The init of a child runs in the child, and the supervisor goes on serving:");
        greet_all(&rt, DynamicSupervisor::temporary()).await?;

        println!("One start at a time, OTP's order (`serial_starts`):");
        greet_all(&rt, DynamicSupervisor::temporary().serial_starts()).await?;

        rt.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
