//! Awaits that could go on, and let others run first.

use std::time::Duration;

use whitebeam::prelude::*;
use whitebeam_actor::simulate::{Choices, Point};
use whitebeam_testkit::{Run, Sim, Strategy, sim};

/// In turn, and gives way at every await, or at none.
struct InTurn {
    gives_way: bool,
}

impl Choices for InTurn {
    fn choose(&mut self, point: Point, _of: usize) -> usize {
        usize::from(point == Point::Preempt && self.gives_way)
    }
}

struct Echo;

impl Actor for Echo {
    type Args = ();
    type Msg = Reply<u8>;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Echo)
    }

    async fn handle(
        &mut self,
        reply: Reply<u8>,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(7);
        Ok(())
    }
}

/// Awaits one thing of each kind.
struct Waiter(ActorRef<Reply<u8>>);

enum Wait {
    Sleep,
    Call,
    EndlessCall,
    Start,
    End(Pid),
}

impl Actor for Waiter {
    type Args = ActorRef<Reply<u8>>;
    type Msg = (Wait, Reply<()>);

    async fn init(echo: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Waiter(echo))
    }

    async fn handle(
        &mut self,
        (wait, reply): Self::Msg,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        match wait {
            Wait::Sleep => cx.runtime().sleep(Duration::ZERO).await,
            Wait::Call => assert_eq!(self.0.call(|reply| reply).await?, 7),
            Wait::EndlessCall => assert_eq!(self.0.call(|reply| reply).no_timeout().await?, 7),
            Wait::Start => drop(cx.start::<Echo>(()).await?),
            Wait::End(pid) => drop(cx.runtime().down(pid).await),
        }
        reply.send(());
        Ok(())
    }
}

/// How often the waiter was suspended.
fn suspensions(gives_way: bool, wait: fn(Pid) -> Wait) -> usize {
    let strategy = Strategy::new("in turn", move |_| Box::new(InTurn { gives_way }));
    let report =
        Sim::new().seed(0).ignore_environment().strategy(strategy).run(move |rt| async move {
            let echo = rt.start::<Echo>(()).await.expect("an echo");
            let gone = rt.start::<Echo>(()).await.expect("one that ends");
            rt.exit(&gone, ExitReason::Kill);
            rt.run_until_idle().await;
            let waiter = rt.start::<Waiter>(echo).await.expect("a waiter");
            waiter.call(|reply| (wait(gone.pid()), reply)).await.expect("waited");
        });
    let run: &Run = &report.runs[0];
    run.trace.to_string().lines().filter(|line| line.contains("Waiter suspends")).count()
}

#[test]
fn each_kind_gives_way_once_and_only_when_it_is_chosen() {
    type Make = fn(Pid) -> Wait;
    let waits: [(Make, usize); 5] = [
        (|_| Wait::Sleep, 0),
        (|_| Wait::Call, 1),
        (|_| Wait::EndlessCall, 1),
        (|_| Wait::Start, 1),
        (Wait::End, 0),
    ];
    for (wait, needed) in waits {
        assert_eq!(suspensions(false, wait), needed);
        assert_eq!(suspensions(true, wait), needed + 1);
    }
}

#[test]
fn a_test_may_block_on_a_call() {
    sim(|rt| async move {
        let echo = rt.spawn::<Echo>(());
        assert_eq!(echo.call(|reply| reply).blocking().expect("an answer"), 7);
        rt.run_until_idle().await;
    });
}
