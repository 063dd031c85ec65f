//! Panics on panics: what a future, a state, a message, an argument or a reason does when it is dropped because
//! of a panic. The process ends with the first that was seen, and the worker lives.
//!
//! What no runtime can help with: a value that panics when it is dropped while its own function, or its own
//! `async` block, unwinds. The language ends the program there.

use crate::support;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use support::{EXPECTED, everywhere, expect_panics};
use whitebeam_actor::{
    Actor, ActorRef, Answered, CallError, Context, ExitReason, Handle, Reply, StartError, oneshot,
};

/// Panics when it is dropped, and gives its token back.
#[derive(Debug)]
struct Bomb(Arc<()>);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{EXPECTED}");
    }
}

/// What a hand-written future comes to when it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polled {
    Panics,
    /// Is woken at once, and panics then.
    PanicsLater,
    Ready,
    Fails,
}

/// A future with a bomb inside.
struct Loaded {
    bomb: Option<Bomb>,
    polled: Polled,
    is_second: bool,
}

impl Loaded {
    fn new(token: Arc<()>, polled: Polled) -> Self {
        Loaded { bomb: Some(Bomb(token)), polled, is_second: false }
    }
}

impl Future for Loaded {
    type Output = Result<(), ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.polled {
            Polled::Ready => Poll::Ready(Ok(())),
            // The reason's value blows up as well, while the future's panic is under way.
            Polled::Fails => {
                let bomb = self.bomb.take().map(|bomb| (Bomb(bomb.0.clone()), bomb));
                let (inside, of_reason) = bomb.expect("polled once");
                self.bomb = Some(inside);
                Poll::Ready(Err(ExitReason::custom(of_reason)))
            }
            Polled::PanicsLater if !self.is_second => {
                self.is_second = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Polled::Panics | Polled::PanicsLater => panic!("{EXPECTED}"),
        }
    }
}

/// What the actor is to do in its `init`, and with what state.
struct Setup {
    init: Option<Polled>,
    terminate: Option<Polled>,
    token: Arc<()>,
    /// The state, too, panics when it is dropped.
    is_state_loaded: bool,
    /// As do the arguments.
    bomb: Option<Bomb>,
}

impl Setup {
    fn new(token: &Arc<()>) -> Self {
        Setup {
            init: None,
            terminate: None,
            token: token.clone(),
            is_state_loaded: false,
            bomb: None,
        }
    }
}

struct Armed {
    terminate: Option<Polled>,
    token: Arc<()>,
    _bomb: Option<Bomb>,
}

enum Msg {
    Handle(Polled),
    /// Waits until the gate is open, and panics then.
    Wait(Answered<()>),
    Stop,
    /// A message that is not read before the process ends.
    #[expect(dead_code, reason = "both are there to be dropped")]
    Unread(Bomb, Reply<()>),
}

/// The future of `init`, written by hand.
struct Init {
    loaded: Option<Loaded>,
    state: Option<Armed>,
}

impl Future for Init {
    type Output = Result<Armed, ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let done = match &mut self.loaded {
            Some(loaded) => Pin::new(loaded).poll(cx),
            None => Poll::Ready(Ok(())),
        };
        done.map(|done| done.map(|()| self.state.take().expect("polled until it is ready")))
    }
}

/// The future of `handle`, written by hand.
struct Handled {
    gate: Option<Answered<()>>,
    loaded: Option<Loaded>,
}

impl Future for Handled {
    type Output = Result<(), ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Some(gate) = &mut self.gate {
            if Pin::new(gate).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.gate = None;
        }
        match &mut self.loaded {
            Some(loaded) => Pin::new(loaded).poll(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// That of `terminate`.
struct Terminate(Option<Loaded>);

impl Future for Terminate {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(loaded) => Pin::new(loaded).poll(cx).map(drop),
            None => Poll::Ready(()),
        }
    }
}

impl Actor for Armed {
    type Args = Setup;
    type Msg = Msg;

    fn init(
        setup: Setup,
        _: &mut Context<Self>,
    ) -> impl Future<Output = Result<Self, ExitReason>> + Send {
        drop(setup.bomb);
        let state = Armed {
            terminate: setup.terminate,
            token: setup.token.clone(),
            _bomb: setup.is_state_loaded.then(|| Bomb(setup.token.clone())),
        };
        let loaded = setup.init.map(|polled| Loaded::new(setup.token, polled));
        Init { loaded, state: Some(state) }
    }

    fn handle(
        &mut self,
        msg: Msg,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), ExitReason>> + Send {
        let (polled, gate) = match msg {
            Msg::Handle(polled) => (Some(polled), None),
            Msg::Wait(gate) => (Some(Polled::Panics), Some(gate)),
            Msg::Stop => {
                cx.stop(ExitReason::Normal);
                (None, None)
            }
            Msg::Unread(..) => (None, None),
        };
        let loaded = polled.map(|polled| Loaded::new(self.token.clone(), polled));
        Handled { gate, loaded }
    }

    fn terminate(
        &mut self,
        _: &ExitReason,
        _: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        Terminate(self.terminate.map(|polled| Loaded::new(self.token.clone(), polled)))
    }
}

const ALL: [Polled; 4] = [Polled::Panics, Polled::PanicsLater, Polled::Ready, Polled::Fails];

#[track_caller]
fn assert_panicked(reason: &ExitReason, what: impl std::fmt::Debug) {
    assert!(matches!(reason, ExitReason::Panic(_)), "{what:?}: {reason:?}");
}

#[test]
fn a_handler_that_panics_and_panics_again_when_it_is_dropped() {
    expect_panics();
    everywhere(async |rt| {
        for polled in ALL {
            let token = Arc::new(());
            let armed = rt.start::<Armed>(Setup::new(&token)).await.expect("a process");
            let down = rt.down(&armed);
            armed.cast(Msg::Handle(polled)).expect("it lives");
            assert_panicked(&down.await.reason, polled);
            drop(armed);
            assert_eq!(Arc::strong_count(&token), 1, "{polled:?}");
        }
    });
}

#[test]
fn an_init_that_panics_and_panics_again_when_it_is_dropped() {
    expect_panics();
    everywhere(async |rt| {
        for polled in ALL {
            let token = Arc::new(());
            let is_state_loaded = polled == Polled::Ready;
            let setup = Setup { init: Some(polled), is_state_loaded, ..Setup::new(&token) };
            match rt.start::<Armed>(setup).await {
                Err(StartError::Exit(reason)) => assert_panicked(&reason, polled),
                other => panic!("{polled:?}: {other:?}"),
            }
            assert_eq!(Arc::strong_count(&token), 1, "{polled:?}");
        }
    });
}

#[test]
fn a_terminate_that_panics_and_panics_again_when_it_is_dropped() {
    expect_panics();
    everywhere(async |rt| {
        for polled in [Polled::Panics, Polled::PanicsLater, Polled::Ready] {
            let token = Arc::new(());
            // And the state after it.
            let setup =
                Setup { terminate: Some(polled), is_state_loaded: true, ..Setup::new(&token) };
            let armed = rt.start::<Armed>(setup).await.expect("a process");
            let down = rt.down(&armed);
            armed.cast(Msg::Stop).expect("it lives");
            assert_panicked(&down.await.reason, polled);
            drop(armed);
            assert_eq!(Arc::strong_count(&token), 1, "{polled:?}");
        }
    });
}

#[test]
fn a_state_that_panics_when_it_is_dropped() {
    expect_panics();
    everywhere(async |rt| {
        let token = Arc::new(());
        let setup = || Setup { is_state_loaded: true, ..Setup::new(&token) };
        // Alone, after a panic, and after a kill, whose reason stays.
        type End = fn(&Handle, &ActorRef<Msg>);
        let ends: [(&str, End); 3] = [
            ("stop", |_, armed| armed.cast(Msg::Stop).expect("it lives")),
            ("panic", |_, armed| armed.cast(Msg::Handle(Polled::Panics)).expect("it lives")),
            ("kill", |rt, armed| rt.exit(armed, ExitReason::Kill)),
        ];
        for (how, end) in ends {
            let armed = rt.start::<Armed>(setup()).await.expect("a process");
            let down = rt.down(&armed);
            end(&rt, &armed);
            let reason = down.await.reason;
            match how {
                "kill" => assert!(matches!(reason, ExitReason::Killed), "{reason:?}"),
                _ => assert_panicked(&reason, how),
            }
            drop(armed);
            assert_eq!(Arc::strong_count(&token), 1, "{how}");
        }
    });
}

#[test]
fn unread_messages_that_panic_when_they_are_dropped() {
    expect_panics();
    everywhere(async |rt| {
        let token = Arc::new(());
        let armed = rt.start::<Armed>(Setup::new(&token)).await.expect("a process");
        let (open, gate) = oneshot::<()>();
        armed.cast(Msg::Wait(gate)).expect("it lives");
        let mut calls = Vec::new();
        for _ in 0..10 {
            let request = |reply| Msg::Unread(Bomb(token.clone()), reply);
            let mut call = armed.call(request).owned().into_future();
            let is_pending =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx).is_pending())).await;
            assert!(is_pending);
            calls.push(call);
        }
        open.send(());
        for call in calls {
            match call.await {
                Err(CallError::Exit(reason)) => assert_panicked(&reason, "unread"),
                other => panic!("{other:?}"),
            }
        }
        drop(armed);
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn arguments_that_panic_when_they_are_dropped() {
    expect_panics();
    everywhere(async |rt| {
        let token = Arc::new(());
        let setup = || Setup { bomb: Some(Bomb(token.clone())), ..Setup::new(&token) };
        match rt.start::<Armed>(setup()).await {
            Err(StartError::Exit(reason)) => assert_panicked(&reason, "init"),
            other => panic!("{other:?}"),
        }
        assert_eq!(Arc::strong_count(&token), 1);
        // Killed before it has begun, or when it has: on several workers either.
        let killed = rt.spawn::<Armed>(setup());
        rt.exit(&killed, ExitReason::Kill);
        rt.down(&killed).await;
        drop(killed);
        // Refused.
        assert!(rt.shutdown(std::time::Duration::from_secs(5)).await.is_clean());
        let refused = rt.start::<Armed>(setup()).await;
        assert!(matches!(refused, Err(StartError::ShuttingDown)), "{refused:?}");
        assert_eq!(Arc::strong_count(&token), 1);
    });
}
