//! Three programs with a bug in each, of the kinds that interleavings bring out. What they do is theirs; how soon
//! it is found is in `strategies`.

use std::time::Duration;

use whitebeam::prelude::*;
use whitebeam_testkit::TestRuntime;

/// What a program found out about itself: `Err` names the bug.
pub(crate) type Found = Result<(), Box<dyn std::error::Error>>;

/// A gate that wakes who waits when it is opened. Who comes asks first and waits then: in two messages, so that
/// the gate may be opened between them, and nobody wakes him.
struct Gate {
    open: bool,
    waiting: Vec<Reply<()>>,
    porters: Option<(ActorRef<Walk>, ActorRef<Walk>)>,
}

enum GateMsg {
    Porters(ActorRef<Walk>, ActorRef<Walk>),
    IsOpen(Reply<bool>),
    Wait(Reply<()>),
    Open,
}

impl Actor for Gate {
    type Args = ();
    type Msg = GateMsg;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Gate { open: false, waiting: Vec::new(), porters: None })
    }

    async fn handle(&mut self, msg: GateMsg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            GateMsg::Porters(one, two) => self.porters = Some((one, two)),
            GateMsg::IsOpen(reply) => {
                reply.send(self.open);
                if let Some((one, two)) = self.porters.take() {
                    one.cast(Walk(12, Some(two)))?;
                }
            }
            // The bug: it may be open by now.
            GateMsg::Wait(reply) => self.waiting.push(reply),
            GateMsg::Open => {
                self.open = true;
                self.waiting.drain(..).for_each(|reply| reply.send(()));
            }
        }
        Ok(())
    }
}

struct Visitor;

struct Visit(ActorRef<GateMsg>, Reply<()>);

impl Actor for Visitor {
    type Args = ();
    type Msg = Visit;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Visitor)
    }

    async fn handle(
        &mut self,
        Visit(gate, reply): Visit,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        if !gate.call(GateMsg::IsOpen).await? {
            gate.call(GateMsg::Wait).no_timeout().await?;
        }
        reply.send(());
        Ok(())
    }
}

/// Opens the gate after some steps, which it shares with another one.
struct Porter {
    gate: ActorRef<GateMsg>,
}

/// Steps that are left before the gate is opened, and who goes the next one.
struct Walk(u32, Option<ActorRef<Walk>>);

impl Actor for Porter {
    type Args = ActorRef<GateMsg>;
    type Msg = Walk;

    async fn init(gate: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Porter { gate })
    }

    async fn handle(
        &mut self,
        Walk(left, next): Walk,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        match next {
            Some(next) if left > 0 => next.cast(Walk(left - 1, Some(cx.me())))?,
            _ => self.gate.cast(GateMsg::Open)?,
        }
        Ok(())
    }
}

/// A lost wake-up: found as a deadlock. The porters, who are called when somebody asks, have to go all of their
/// twelve steps, turn by turn, while the visitor goes two.
pub(crate) async fn lost_wake_up(rt: TestRuntime) -> Found {
    let gate = rt.start::<Gate>(()).await?;
    let one = rt.start::<Porter>(gate.clone()).await?;
    let two = rt.start::<Porter>(gate.clone()).await?;
    let visitor = rt.start::<Visitor>(()).await?;
    gate.cast(GateMsg::Porters(one, two))?;
    visitor.call(|reply| Visit(gate, reply)).no_timeout().await?;
    Ok(())
}

/// An account that gives what it is told to.
struct Account {
    balance: i64,
}

enum AccountMsg {
    Balance(Reply<i64>),
    Withdraw(i64, Reply<()>),
}

impl Actor for Account {
    type Args = i64;
    type Msg = AccountMsg;

    async fn init(balance: i64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Account { balance })
    }

    async fn handle(&mut self, msg: AccountMsg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            AccountMsg::Balance(reply) => reply.send(self.balance),
            AccountMsg::Withdraw(sum, reply) => {
                self.balance -= sum;
                reply.send(());
            }
        }
        Ok(())
    }
}

struct Teller {
    account: ActorRef<AccountMsg>,
}

/// A customer, after so many others have been served.
struct Serve {
    others: u32,
    sum: i64,
    done: Reply<()>,
}

impl Actor for Teller {
    type Args = ActorRef<AccountMsg>;
    type Msg = Serve;

    async fn init(account: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Teller { account })
    }

    async fn handle(&mut self, mut serve: Serve, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        if serve.others > 0 {
            serve.others -= 1;
            return Ok(cx.me().cast(serve)?);
        }
        // The bug: what was checked need not hold any more when it is acted on.
        if self.account.call(AccountMsg::Balance).await? >= serve.sum {
            self.account.call(|reply| AccountMsg::Withdraw(serve.sum, reply)).await?;
        }
        serve.done.send(());
        Ok(())
    }
}

/// A check, then an act, over two calls: an account goes below zero. The second teller has twenty others to serve
/// first, so that they rarely meet.
pub(crate) async fn check_then_act(rt: TestRuntime) -> Found {
    let account = rt.start::<Account>(100).await?;
    let (one, two) =
        (rt.start::<Teller>(account.clone()).await?, rt.start::<Teller>(account.clone()).await?);
    let late = rt.spawn_task(async move {
        let _ = two.call(|done| Serve { others: 20, sum: 70, done }).await;
    });
    one.call(|done| Serve { others: 0, sum: 70, done }).await?;
    late.await;
    match account.call(AccountMsg::Balance).await? {
        balance if balance < 0 => Err(format!("the account is {balance}").into()),
        _ => Ok(()),
    }
}

/// Counts, and forgets when it is started again.
struct Tally(u32);

enum TallyMsg {
    Add,
    Total(Reply<u32>),
    Crash,
}

impl Actor for Tally {
    type Args = ();
    type Msg = TallyMsg;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Tally(0))
    }

    async fn handle(&mut self, msg: TallyMsg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            TallyMsg::Add => self.0 += 1,
            TallyMsg::Total(reply) => reply.send(self.0),
            TallyMsg::Crash => return Err(ExitReason::custom("asked to")),
        }
        Ok(())
    }
}

struct Counting {
    tally: ChildRef<TallyMsg>,
}

/// Answered with what was counted in the end.
struct CountTo(u32, Reply<Result<u32, CallError>>);

impl Actor for Counting {
    type Args = ChildRef<TallyMsg>;
    type Msg = CountTo;

    async fn init(tally: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counting { tally })
    }

    async fn handle(
        &mut self,
        CountTo(number, reply): CountTo,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        // The bug: the one that was found may end, and another one take its place, before the count is over.
        let Some(tally) = self.tally.current() else { return Err(ExitReason::NoProc) };
        for _ in 0..number {
            // A refusal is told by the total.
            let _ = tally.cast(TallyMsg::Add);
            cx.runtime().sleep(Duration::ZERO).await;
        }
        reply.send(tally.call(TallyMsg::Total).await);
        Ok(())
    }
}

struct Saboteur {
    tally: ChildRef<TallyMsg>,
}

impl Actor for Saboteur {
    type Args = ChildRef<TallyMsg>;
    type Msg = u32;

    async fn init(tally: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Saboteur { tally })
    }

    async fn handle(&mut self, left: u32, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        if left > 0 {
            return Ok(cx.me().cast(left - 1)?);
        }
        let _ = self.tally.cast(TallyMsg::Crash);
        Ok(())
    }
}

/// A restart in the midst of a count, which the counter holds an old address in.
pub(crate) async fn restart_race(rt: TestRuntime) -> Found {
    let partitions = Partitions::exactly(1);
    let pool = PartitionSupervisor::new(partitions, |_| Child::new::<Tally>("tally", ()))
        .start(&rt)
        .await?;
    let tally = pool.of(&0_u32).clone();
    let counting = rt.start::<Counting>(tally.clone()).await?;
    let saboteur = rt.start::<Saboteur>(tally).await?;
    saboteur.cast(30)?;
    match counting.call(|reply| CountTo(3, reply)).await? {
        Ok(3) => Ok(()),
        Ok(total) => Err(format!("counted to {total}").into()),
        Err(error) => Err(format!("the tally is gone: {error}").into()),
    }
}
