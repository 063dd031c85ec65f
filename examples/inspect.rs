//! Finding out what is wrong while it is.
//!
//! A small shop in which three things go wrong at once: the till waits for a bank that does not answer, with customers
//! behind it; the printer gets more receipts than it can print; and the mailer crashes over and over, since its
//! supervisor has no limit and there is no server to connect to. Nobody has been told: `diagnose` finds all three, by
//! what processes count anyway, and says what speaks for each. `tree` and `top` show the same shop from elsewhere.
//!
//! Run it with `cargo run --release --example inspect`.

#![allow(clippy::print_stdout, reason = "a program for people to watch")]

use std::error::Error;
use std::time::Duration;

use mimalloc::MiMalloc;
use whitebeam::prelude::*;
use whitebeam::{By, Finding, Intensity};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const MS: Duration = Duration::from_millis(1);

/// Takes money, and asks the bank first.
struct Till {
    taken: u64,
}

enum Pay {
    Cash(u64),
    Card(u64),
}

impl Actor for Till {
    type Args = ();
    type Msg = Pay;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Till { taken: 0 })
    }

    async fn handle(&mut self, msg: Pay, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Pay::Cash(cents) => self.taken += cents,
            Pay::Card(cents) => {
                bank(cents).await;
                self.taken += cents;
            }
        }
        Ok(())
    }

    /// What findings and crash reports call a message: its type alone would say nothing.
    fn msg_name(msg: &Pay) -> Option<&'static str> {
        Some(match msg {
            Pay::Cash(_) => "Cash",
            Pay::Card(_) => "Card",
        })
    }
}

/// Does not answer today.
async fn bank(_cents: u64) {
    std::future::pending().await
}

/// Prints a receipt in five milliseconds.
struct Printer;

struct Receipt;

impl Actor for Printer {
    type Args = ();
    type Msg = Receipt;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Printer)
    }

    async fn handle(&mut self, Receipt: Receipt, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        cx.runtime().sleep(5 * MS).await;
        Ok(())
    }
}

/// Wants to connect as soon as it has started.
struct Mailer;

struct Connect;

impl Actor for Mailer {
    type Args = ();
    type Msg = Connect;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.send_after(50 * MS, Connect);
        Ok(Mailer)
    }

    async fn handle(
        &mut self,
        Connect: Connect,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        Err(ExitReason::custom("connection refused"))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // A look at all processes each 100 ms: what the findings compare.
    let rt = Runtime::builder().workers(2).quiet_crashes().walk_every(100 * MS).build()?;
    rt.block_on(async {
        let named = |name: &str| SpawnOptions::new().name(name);
        let till = rt.with(named("till")).start::<Till>(()).await?;
        let printer = rt.with(named("printer")).start::<Printer>(()).await?;
        let mailers = DynamicSupervisor::<Mailer>::new()
            .with_intensity(Intensity::Unlimited)
            .options(named("mailers"))
            .start(&rt)
            .await?;
        mailers.start_child(()).await?;

        till.cast(Pay::Cash(250))?;
        till.cast(Pay::Card(1_999))?;
        (0..3).try_for_each(|_| till.cast(Pay::Cash(100)))?;
        for _ in 0..200 {
            (0..5).try_for_each(|_| printer.cast(Receipt))?;
            rt.sleep(10 * MS).await;
        }

        let diagnosis = rt.diagnose();
        println!("{diagnosis}");
        println!("The longest mailboxes:");
        let longest = rt.top(By::MailboxLen, 2);
        for info in &longest {
            println!("    {} unread: {}", info.mailbox_len, info.actor);
        }
        println!("\nEverybody, by who started whom:\n{}", rt.tree());

        let [
            Finding::StuckProcess(stuck),
            Finding::GrowingMailbox(growing),
            Finding::RestartStorm(storm),
        ] = &diagnosis.findings[..]
        else {
            return Err(format!("other findings than expected: {diagnosis}").into());
        };
        assert_eq!((stuck.info.pid, stuck.info.message), (till.pid(), Some("Card")));
        assert_eq!((stuck.info.mailbox_len, stuck.info.handled), (3, 2));
        assert!(stuck.at_least > Duration::from_secs(1));
        assert_eq!(growing.info.pid, printer.pid());
        assert!(growing.to > growing.from && growing.handled > 0);
        assert_eq!(rt.whereis("mailers"), Some(storm.parent));
        assert!(storm.crashes >= 5 && storm.reason.contains("connection refused"));
        assert_eq!(longest[0].pid, printer.pid());

        // The bank will not answer, and the printer is given up.
        rt.exit(&till, ExitReason::Kill);
        rt.exit(&printer, ExitReason::Kill);
        rt.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
