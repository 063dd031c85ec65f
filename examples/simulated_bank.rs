//! A bug that comes with one order of messages in many, found by a simulated test, repeated from its seed, and
//! mended.
//!
//! Tellers serve the customers of one account. Each asks for the balance and withdraws then: what it has checked
//! need not hold any more when it acts. The mended account checks and acts in one message. Both are held to the
//! same test.
//!
//! Run it with `cargo run --release --example simulated_bank`. It prints what the test kit has found, and asserts
//! that it does so again from the seed, and not at all in the mended bank.

#![allow(clippy::print_stdout, reason = "what it shows is its output")]

use whitebeam::prelude::*;
use whitebeam_testkit::{Sim, TestRuntime};

/// What an account starts with.
const BALANCE: i64 = 100;
/// What each of the customers wants, of whom one can be served.
const SUM: i64 = 70;

struct Account {
    balance: i64,
}

enum Msg {
    Balance(Reply<i64>),
    /// Gives what it is told to.
    Withdraw(i64, Reply<()>),
    /// Gives it if it is there.
    TryWithdraw(i64, Reply<bool>),
}

impl Actor for Account {
    type Args = i64;
    type Msg = Msg;

    async fn init(balance: i64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Account { balance })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Balance(reply) => reply.send(self.balance),
            Msg::Withdraw(sum, reply) => {
                self.balance -= sum;
                reply.send(());
            }
            Msg::TryWithdraw(sum, reply) => {
                let is_there = self.balance >= sum;
                if is_there {
                    self.balance -= sum;
                }
                reply.send(is_there);
            }
        }
        Ok(())
    }
}

/// How a teller goes about a withdrawal.
#[derive(Clone, Copy)]
enum Way {
    /// Two calls: the bug.
    CheckThenAct,
    /// One call.
    AtOnce,
}

struct Teller {
    account: ActorRef<Msg>,
    way: Way,
}

/// A customer; the answer is what he has got.
struct Serve(i64, Reply<i64>);

impl Actor for Teller {
    type Args = (ActorRef<Msg>, Way);
    type Msg = Serve;

    async fn init((account, way): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Teller { account, way })
    }

    async fn handle(&mut self, serve: Serve, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Serve(sum, reply) = serve;
        let is_served = match self.way {
            Way::CheckThenAct => {
                let is_there = self.account.call(Msg::Balance).await? >= sum;
                if is_there {
                    self.account.call(|reply| Msg::Withdraw(sum, reply)).await?;
                }
                is_there
            }
            Way::AtOnce => self.account.call(|reply| Msg::TryWithdraw(sum, reply)).await?,
        };
        reply.send(if is_served { sum } else { 0 });
        Ok(())
    }
}

/// The test: two tellers, a customer each, and an account that may not go below zero.
async fn open_for_a_day(rt: TestRuntime, way: Way) -> Result<(), Box<dyn std::error::Error>> {
    let account = rt.start::<Account>(BALANCE).await?;
    let mut customers = Vec::new();
    for _ in 0..2 {
        let teller = rt.start::<Teller>((account.clone(), way)).await?;
        let customer = async move { teller.call(|reply| Serve(SUM, reply)).await };
        customers.push(rt.spawn_task(customer));
    }
    let mut paid = 0;
    for customer in customers {
        paid += customer.await?;
    }
    let balance = account.call(Msg::Balance).await?;
    assert_eq!(balance + paid, BALANCE, "nothing is lost, whatever the order");
    if balance < 0 { Err(format!("the account is at {balance}").into()) } else { Ok(()) }
}

fn main() {
    // As many orders as it takes, at most a thousand.
    let bank = |way| move |rt: TestRuntime| open_for_a_day(rt, way);
    let failure = Sim::new()
        .seeds(1_000)
        .try_run(bank(Way::CheckThenAct))
        .expect_err("an order in which both customers are told that the money is there");
    println!("{failure}\n");

    // Every failure is a number: the same seed is the same run, event by event.
    let again = Sim::new()
        .seed(failure.seed)
        .ignore_environment()
        .try_run(bank(Way::CheckThenAct))
        .expect_err("the same seed fails again");
    assert_eq!(again.trace.to_string(), failure.trace.to_string());
    println!("seed {} again: the same {} events", failure.seed, again.trace.len());

    let report = Sim::new().seeds(1_000).run(bank(Way::AtOnce));
    println!("mended: {} runs, none of which fails", report.runs.len());
}
