//! What a runtime is asked for when it is over, by who had looked before whether it may be; what it keeps of
//! calls that are over.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use crate::{
    Actor, ActorRef, CallError, Context, ExitReason, Reply, Runtime, SpawnOptions, StartError,
};

/// Has a token, so that it is seen to be dropped.
struct Holds(#[expect(dead_code, reason = "dropped")] Arc<()>);

impl Actor for Holds {
    type Args = Arc<()>;
    type Msg = Reply<()>;

    async fn init(token: Arc<()>, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Holds(token))
    }

    async fn handle(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        reply.send(());
        Ok(())
    }
}

/// The future's value, which must be there at once.
fn now<F: Future>(future: F) -> F::Output {
    let mut cx = TaskContext::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nobody is left who could answer"),
    }
}

fn runtimes() -> [Runtime; 2] {
    [
        Runtime::builder().workers(1).build().expect("a thread"),
        Runtime::simulated(1).expect("a tag for pids"),
    ]
}

#[test]
fn a_start_that_comes_when_all_is_over_is_answered() {
    for rt in runtimes() {
        let handle = rt.handle();
        drop(rt);
        // As if it had looked just before.
        handle.shared.reopen();
        let token = Arc::new(());
        let started = now(handle.start::<Holds>(token.clone()));
        assert!(matches!(started, Err(StartError::ShuttingDown)), "{started:?}");
        assert_eq!(Arc::strong_count(&token), 1, "what it was to be started with is dropped");
    }
}

#[test]
fn a_process_that_comes_when_all_is_over_ends() {
    for rt in runtimes() {
        let handle = rt.handle();
        let shared = Arc::downgrade(&handle.shared);
        drop(rt);
        handle.shared.reopen();
        let token = Arc::new(());
        let late: ActorRef<Reply<()>> =
            handle.with(SpawnOptions::new().name("late")).spawn::<Holds>(token.clone());
        assert_eq!(Arc::strong_count(&token), 1);
        assert!(!late.is_alive() && handle.whereis("late").is_none());
        assert!(matches!(now(late.call(|reply| reply).into_future()), Err(CallError::NoProc)));
        assert!(matches!(now(handle.down(&late)).reason, ExitReason::NoProc));
        drop((late, handle));
        assert!(shared.upgrade().is_none(), "nothing keeps the runtime");
    }
}

/// Keeps requests until it is told to answer.
struct Keeps(Vec<Reply<()>>);

enum Ask {
    Keep(Reply<()>),
    Answer,
}

impl Actor for Keeps {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Keeps(Vec::new()))
    }

    async fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match ask {
            Ask::Keep(reply) => self.0.push(reply),
            Ask::Answer => self.0.drain(..).for_each(|reply| reply.send(())),
        }
        Ok(())
    }
}

/// Calls, with a timeout.
struct Calls(ActorRef<Ask>);

impl Actor for Calls {
    type Args = ActorRef<Ask>;
    type Msg = (Duration, Reply<()>);

    async fn init(keeps: ActorRef<Ask>, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Calls(keeps))
    }

    async fn handle(
        &mut self,
        (timeout, done): (Duration, Reply<()>),
        _: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        if self.0.call(Ask::Keep).timeout(timeout).await.is_ok() {
            done.send(());
        }
        Ok(())
    }
}

/// Waits until the wheel looks at so many cells.
fn wait_for_looks(rt: &Runtime, looks: usize) {
    let late = rt.uptime() + Duration::from_secs(30);
    while rt.handle.shared.timeouts().looks() != looks {
        assert!(rt.uptime() < late, "waited 30 s for {looks} timers");
        std::thread::yield_now();
    }
}

/// Whatever its timeout was: nothing of a call is kept when it is over, nor of a process.
#[test]
fn timeouts_are_kept_for_as_long_as_their_calls() {
    let rt = Runtime::builder().workers(1).build().expect("a thread");
    let keeps = rt.spawn::<Keeps>(());
    let calls = rt.spawn::<Calls>(keeps.clone());
    // Short ones between the long ones: each would be set before those that wait already.
    for seconds in [3_600, 60, 86_400, 60, 3_600, 60] {
        let timeout = Duration::from_secs(seconds);
        let call = calls.call(|done| (timeout, done)).no_timeout().owned();
        let waits = std::thread::spawn(move || call.blocking());
        wait_for_looks(&rt, 1);
        keeps.cast(Ask::Answer).expect("it lives");
        waits.join().expect("no panic").expect("an answer");
        wait_for_looks(&rt, 0);
    }
    let gone: Vec<_> = (0..50)
        .map(|_| {
            let calls = rt.spawn::<Calls>(keeps.clone());
            let (done, _) = crate::oneshot();
            calls.cast((Duration::from_secs(3_600), done)).expect("it lives");
            calls
        })
        .collect();
    wait_for_looks(&rt, 50);
    for calls in gone {
        rt.exit(&calls, ExitReason::Kill);
        rt.block_on(rt.down(&calls));
    }
    wait_for_looks(&rt, 0);
    // One for the next sweep at most.
    assert!(rt.handle.shared.scheduler().pending_timers() <= 1);
}
