//! An actor that does what a test tells it, and a channel by which it tells the test.
//!
//! A message is a closure that runs in the handler, with the state and the context. What the actor is to do
//! in `init`, in `terminate` and when its state is dropped is in the [`Script`] that it is started with.
//! [`Plain`] has no `terminate` of its own, [`Tidy`] has one: the runtime knows the difference.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::Location,
    sync::{Arc, mpsc},
    task::{Poll, Waker},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either, select};
use parking_lot::Mutex;
use whitebeam_actor::{Actor, ActorRef, ChildDown, Context, Down, Exit, ExitReason, Handle, Pid};

pub type Done = Result<(), ExitReason>;

/// A job for the handler, or for `init`.
pub type Job<const TIDY: bool> = Box<
    dyn for<'a> FnOnce(&'a mut Puppet<TIDY>, &'a mut Context<Puppet<TIDY>>) -> BoxFuture<'a, Done>
        + Send,
>;
type OnInit<const TIDY: bool> =
    Box<dyn for<'a> FnOnce(&'a mut Context<Puppet<TIDY>>) -> BoxFuture<'a, Done> + Send>;
type OnTerminate<const TIDY: bool> = Box<
    dyn for<'a> FnOnce(&'a ExitReason, &'a mut Context<Puppet<TIDY>>) -> BoxFuture<'a, ()> + Send,
>;

type OnDown<const TIDY: bool> = Box<dyn FnMut(ChildDown, &mut Context<Puppet<TIDY>>) + Send>;

/// Has no `terminate` of its own.
pub type Plain = Puppet<false>;
/// Has a `terminate` of its own.
pub type Tidy = Puppet<true>;

/// See the module's text.
pub struct Puppet<const TIDY: bool> {
    terminate: Option<OnTerminate<TIDY>>,
    on_down: Option<OnDown<TIDY>>,
    /// Dropped with the state, last of all.
    _on_drop: Option<OnDrop>,
}

/// What a puppet does in its handler.
pub type Act<const TIDY: bool> = Box<dyn FnOnce(&mut Context<Puppet<TIDY>>) -> Done + Send>;

/// What a puppet is sent.
pub enum Do<const TIDY: bool> {
    /// Runs in the handler, to its end.
    Now(Act<TIDY>),
    /// Runs in the handler, which suspends where it does.
    Later(Job<TIDY>),
    /// Goes to the test: what a monitor, a link, a timer or a sender had to say.
    Tell(Events, Event),
}

/// What a puppet tells the test.
#[derive(Debug, Clone)]
pub enum Event {
    Down(u32, Down),
    Exit(Exit),
    Child(ChildDown),
    Note(u64),
    Terminate(ExitReason),
    Dropped,
}

/// What a puppet is started with.
#[derive(Default)]
pub struct Script<const TIDY: bool> {
    init: Option<OnInit<TIDY>>,
    on_down: Option<OnDown<TIDY>>,
    terminate: Option<OnTerminate<TIDY>>,
    on_drop: Option<OnDrop>,
}

/// Runs a closure when it is dropped.
pub struct OnDrop(Option<Box<dyn FnOnce() + Send>>);

impl OnDrop {
    pub fn new(f: impl FnOnce() + Send + 'static) -> Self {
        OnDrop(Some(Box::new(f)))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

impl<const TIDY: bool> Script<TIDY> {
    pub fn new() -> Self {
        Script { init: None, on_down: None, terminate: None, on_drop: None }
    }

    pub fn init(
        mut self,
        f: impl for<'a> FnOnce(&'a mut Context<Puppet<TIDY>>) -> BoxFuture<'a, Done> + Send + 'static,
    ) -> Self {
        self.init = Some(Box::new(f));
        self
    }

    /// For what needs no await.
    pub fn init_now(
        self,
        f: impl FnOnce(&mut Context<Puppet<TIDY>>) -> Done + Send + 'static,
    ) -> Self {
        self.init(move |cx| {
            let done = f(cx);
            Box::pin(async move { done })
        })
    }

    /// Exits become events.
    pub fn trap(self, events: &Events) -> Self
    where
        Puppet<TIDY>: Actor<Msg = Do<TIDY>>,
    {
        let events = events.clone();
        self.init_now(move |cx| {
            trap(cx, &events);
            Ok(())
        })
    }

    /// It supervises; `f` is told of its children's ends.
    pub fn supervise(
        mut self,
        f: impl FnMut(ChildDown, &mut Context<Puppet<TIDY>>) + Send + 'static,
    ) -> Self {
        self.on_down = Some(Box::new(f));
        self
    }

    /// It supervises; the ends of its children become events.
    pub fn tell_children(self, events: &Events) -> Self {
        let events = events.clone();
        self.supervise(move |down, _| events.send(Event::Child(down)))
    }

    pub fn on_drop(mut self, f: impl FnOnce() + Send + 'static) -> Self {
        self.on_drop = Some(OnDrop::new(f));
        self
    }

    /// The end of the state becomes an event.
    pub fn tell_drop(self, events: &Events) -> Self {
        let events = events.clone();
        self.on_drop(move || events.send(Event::Dropped))
    }
}

impl Script<true> {
    pub fn terminate(
        mut self,
        f: impl for<'a> FnOnce(&'a ExitReason, &'a mut Context<Tidy>) -> BoxFuture<'a, ()>
        + Send
        + 'static,
    ) -> Self {
        self.terminate = Some(Box::new(f));
        self
    }

    /// Its `terminate` becomes an event.
    pub fn tell_terminate(self, events: &Events) -> Self {
        let events = events.clone();
        self.terminate(move |reason, _| {
            events.send(Event::Terminate(reason.clone()));
            Box::pin(async {})
        })
    }
}

/// The two kinds differ in `terminate` only.
macro_rules! puppet {
    ($tidy:literal, $($terminate:item)?) => {
        impl Actor for Puppet<$tidy> {
            type Args = Script<$tidy>;
            type Msg = Do<$tidy>;

            async fn init(script: Script<$tidy>, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
                let puppet = Puppet {
                    terminate: script.terminate,
                    on_down: script.on_down,
                    _on_drop: script.on_drop,
                };
                if puppet.on_down.is_some() {
                    cx.supervise(|puppet: &mut Self, down, cx| {
                        if let Some(on_down) = &mut puppet.on_down {
                            on_down(down, cx);
                        }
                    });
                }
                if let Some(init) = script.init {
                    init(cx).await?;
                }
                Ok(puppet)
            }

            async fn handle(&mut self, msg: Do<$tidy>, cx: &mut Context<Self>) -> Done {
                match msg {
                    Do::Now(job) => job(cx),
                    Do::Later(job) => job(self, cx).await,
                    Do::Tell(events, event) => {
                        events.send(event);
                        Ok(())
                    }
                }
            }

            $($terminate)?
        }
    };
}

puppet!(false,);
puppet!(
    true,
    async fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<Self>) {
        if let Some(terminate) = self.terminate.take() {
            terminate(reason, cx).await;
        }
    }
);

/// A script that says when `init` runs (1) and when the arguments are dropped (2).
pub fn telling(events: &Events) -> Script<false> {
    let (ran, dropped) = (events.clone(), events.clone());
    Script::new().on_drop(move || dropped.send(Event::Note(2))).init_now(move |_| {
        ran.send(Event::Note(1));
        Ok(())
    })
}

/// Kills a process and waits for its end.
pub async fn kill(rt: &Handle, pid: Pid) {
    let gone = rt.down(pid);
    rt.exit(pid, ExitReason::Kill);
    gone.await;
}

/// Starts a plain puppet that does nothing by itself.
pub async fn plain(rt: &Handle) -> ActorRef<Do<false>> {
    rt.start::<Plain>(Script::new()).await.expect("a plain puppet")
}

/// Blocks the handler, and with it the worker, until the sender is used or dropped.
pub fn stuck(events: &Events) -> (Do<false>, mpsc::Sender<()>) {
    let (release, gate) = mpsc::channel();
    let events = events.clone();
    let message = now(move |_| {
        events.send(Event::Note(0));
        // Released by the test, or at the latest when it has failed.
        let _ = gate.recv_timeout(Duration::from_secs(60));
        Ok(())
    });
    (message, release)
}

/// A message that runs in the handler.
pub fn now<const TIDY: bool>(
    f: impl FnOnce(&mut Context<Puppet<TIDY>>) -> Done + Send + 'static,
) -> Do<TIDY> {
    Do::Now(Box::new(f))
}

/// A message whose handler may suspend.
pub fn later<const TIDY: bool>(
    f: impl for<'a> FnOnce(&'a mut Puppet<TIDY>, &'a mut Context<Puppet<TIDY>>) -> BoxFuture<'a, Done>
    + Send
    + 'static,
) -> Do<TIDY> {
    Do::Later(Box::new(f))
}

/// A message whose handler waits for ever, after it has said so. `held` is dropped with the handler.
pub fn hang<const TIDY: bool, T: Send + 'static>(events: &Events, held: T) -> Do<TIDY> {
    let events = events.clone();
    later(move |_, _| {
        Box::pin(async move {
            let _held = held;
            events.send(Event::Note(HANGING));
            std::future::pending().await
        })
    })
}

/// What [`hang`] says.
pub const HANGING: u64 = u64::MAX;

/// Runs `f` in a puppet's handler and gives what it gave.
pub async fn ask<R: Send + 'static, const TIDY: bool>(
    puppet: &ActorRef<Do<TIDY>>,
    f: impl FnOnce(&mut Context<Puppet<TIDY>>) -> R + Send + 'static,
) -> R {
    let answer = puppet.call(|reply| {
        now(move |cx| {
            reply.send(f(cx));
            Ok(())
        })
    });
    // The deadline is that of the whole test.
    answer.no_timeout().await.expect("a puppet that lives")
}

/// Waits until a puppet has handled what it was sent before.
pub async fn settled<const TIDY: bool>(puppet: &ActorRef<Do<TIDY>>) {
    ask(puppet, |_| ()).await;
}

/// Exits become events.
pub fn trap<const TIDY: bool>(cx: &mut Context<Puppet<TIDY>>, events: &Events)
where
    Puppet<TIDY>: Actor<Msg = Do<TIDY>>,
{
    let events = events.clone();
    cx.trap_exit(move |exit| Do::Tell(events.clone(), Event::Exit(exit)));
}

/// The constructor of a monitor whose DOWN becomes an event.
pub fn down<const TIDY: bool>(
    events: &Events,
    number: u32,
) -> impl FnOnce(Down) -> Do<TIDY> + Send + 'static {
    let events = events.clone();
    move |down| Do::Tell(events, Event::Down(number, down))
}

/// A message that becomes an event.
pub fn note<const TIDY: bool>(events: &Events, number: u64) -> Do<TIDY> {
    Do::Tell(events.clone(), Event::Note(number))
}

/// What puppets told, in order of arrival. Cloned freely; the test reads it.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lock().events.fmt(f)
    }
}

impl Events {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn send(&self, event: Event) {
        let mut told = self.0.lock();
        told.events.push_back(event);
        let waker = told.waker.take();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next event. The deadline is that of the whole test.
    pub async fn next(&self) -> Event {
        poll_fn(|cx| {
            let mut told = self.0.lock();
            match told.events.pop_front() {
                Some(event) => Poll::Ready(event),
                None => {
                    told.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    #[track_caller]
    pub fn down(&self) -> impl Future<Output = (u32, Down)> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Down(number, down) => (number, down),
                other => panic!("{at}: a DOWN was expected, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn exit(&self) -> impl Future<Output = Exit> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Exit(exit) => exit,
                other => panic!("{at}: an EXIT was expected, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn note(&self) -> impl Future<Output = u64> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Note(number) => number,
                other => panic!("{at}: a note was expected, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn hanging(&self) -> impl Future<Output = ()> + Send + '_ {
        let note = self.note();
        async move { assert_eq!(note.await, HANGING) }
    }

    #[track_caller]
    pub fn terminated(&self) -> impl Future<Output = ExitReason> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Terminate(reason) => reason,
                other => panic!("{at}: a terminate was expected, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn child(&self) -> impl Future<Output = ChildDown> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Child(down) => down,
                other => panic!("{at}: a child's end was expected, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn dropped(&self) -> impl Future<Output = ()> + Send + '_ {
        let at = Location::caller();
        async move {
            match self.next().await {
                Event::Dropped => {}
                other => panic!("{at}: the end of a state was expected, not {other:?}"),
            }
        }
    }

    /// All that is there now.
    pub fn take(&self) -> Vec<Event> {
        self.0.lock().events.drain(..).collect()
    }

    /// Nothing comes, for 100 ms of the runtime's time.
    #[track_caller]
    pub fn quiet<'a>(&'a self, rt: &'a Handle) -> impl Future<Output = ()> + 'a {
        let at = Location::caller();
        async move {
            let time = rt.sleep(Duration::from_millis(100));
            let next = std::pin::pin!(self.next());
            if let Either::Left((event, _)) = select(next, time).await {
                panic!("{at}: nothing was expected, not {event:?}");
            }
        }
    }
}

/// Reasons by kind, and those with a value by the value's text: for comparing in tests only.
#[track_caller]
pub fn assert_reason(is: &ExitReason, expected: &ExitReason) {
    let same = std::mem::discriminant(is) == std::mem::discriminant(expected);
    assert!(same && format!("{is:?}") == format!("{expected:?}"), "{is:?} is not {expected:?}");
}

/// A reason of the test's own.
pub fn because(text: &'static str) -> ExitReason {
    ExitReason::custom(text)
}

/// Whether the reason is [`because`] of this text.
#[track_caller]
pub fn assert_because(is: &ExitReason, text: &'static str) {
    assert_eq!(is.downcast_ref::<&'static str>(), Some(&text), "{is:?}");
}

/// Whether the reason is a panic with this text.
#[track_caller]
pub fn assert_panic(is: &ExitReason, text: &str) {
    match is {
        ExitReason::Panic(info) => assert_eq!(info.message(), text),
        other => panic!("{other:?} is not a panic"),
    }
}
