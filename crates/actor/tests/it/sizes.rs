//! States, messages, replies and handlers of any size and alignment, and many processes.

use crate::support;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use support::{everywhere, puppet::assert_reason, scaled, threaded};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Handle, INLINE_STATE_MAX, Reply, Stop,
};

/// A value whose every byte is known, and whose drops are counted.
struct Block<B: Shape> {
    bytes: B,
    live: Arc<AtomicUsize>,
}

/// Some bytes, aligned in some way.
trait Shape: Send + Sync + 'static {
    fn filled(with: u8) -> Self;
    fn is_filled(&self, with: u8) -> bool;
}

macro_rules! shapes {
    ($($name:ident: $align:literal, $bytes:expr;)*) => {$(
        #[repr(align($align))]
        struct $name([u8; $bytes]);
        impl Shape for $name {
            fn filled(with: u8) -> Self {
                $name([with; $bytes])
            }
            fn is_filled(&self, with: u8) -> bool {
                let at: *const Self = self;
                at.is_aligned() && self.0.iter().all(|&byte| byte == with)
            }
        }
    )*};
}

shapes! {
    Nothing: 1, 0;
    Byte: 1, 1;
    Word: 8, 8;
    Odd: 1, 333;
    Edge: 16, INLINE_STATE_MAX / 16 * 16 - 64;
    Wide: 128, 128;
    Page: 4096, 4096;
    Huge: 16, 20_000;
}

impl<B: Shape> Block<B> {
    fn new(live: &Arc<AtomicUsize>, with: u8) -> Self {
        live.fetch_add(1, Relaxed);
        Block { bytes: B::filled(with), live: live.clone() }
    }
}

impl<B: Shape> Drop for Block<B> {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Relaxed);
    }
}

/// State `S`, messages with an `M`, replies with an `R`.
struct Sized3<S: Shape, M: Shape, R: Shape> {
    state: Block<S>,
    _types: std::marker::PhantomData<fn(M, R)>,
}

enum Msg<M: Shape, R: Shape> {
    Cast(Block<M>, u8),
    Call(Block<M>, u8, Reply<Block<R>>),
    /// Suspends with the message and much else in its frame, then answers, or waits for ever.
    Suspend(Block<M>, u8, Option<Reply<Block<R>>>),
    Fail(Block<M>),
}

impl<S: Shape, M: Shape, R: Shape> Actor for Sized3<S, M, R> {
    type Args = (Arc<AtomicUsize>, Block<S>);
    type Msg = Msg<M, R>;

    async fn init((live, args): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        assert!(args.bytes.is_filled(1));
        let held = Block::<S>::new(&live, 7);
        cx.runtime().sleep(Duration::from_micros(1)).await;
        assert!(held.bytes.is_filled(7));
        Ok(Sized3 { state: Block::new(&live, 2), _types: std::marker::PhantomData })
    }

    async fn handle(&mut self, msg: Self::Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        assert!(self.state.bytes.is_filled(2));
        let live = self.state.live.clone();
        match msg {
            Msg::Cast(block, with) => assert!(block.bytes.is_filled(with)),
            Msg::Call(block, with, reply) => {
                assert!(block.bytes.is_filled(with));
                reply.send(Block::new(&live, with + 1));
            }
            Msg::Suspend(block, with, reply) => {
                let held = Block::<S>::new(&live, 9);
                cx.runtime().sleep(Duration::from_micros(1)).await;
                assert!(block.bytes.is_filled(with) && held.bytes.is_filled(9));
                match reply {
                    Some(reply) => reply.send(Block::new(&live, with + 1)),
                    None => std::future::pending().await,
                }
            }
            Msg::Fail(_block) => return Err(ExitReason::custom("told to")),
        }
        Ok(())
    }
}

async fn exercise<S: Shape, M: Shape, R: Shape>(rt: &Handle) {
    let live = Arc::new(AtomicUsize::new(0));
    let args = (live.clone(), Block::new(&live, 1));
    let actor = rt.start::<Sized3<S, M, R>>(args).await.expect("start");
    for with in 0..20 {
        actor.cast(Msg::Cast(Block::new(&live, with), with)).expect("cast");
        let block = Block::new(&live, with);
        let answer = actor.call(|reply| Msg::Call(block, with, reply)).no_timeout().await;
        assert!(answer.expect("answered").bytes.is_filled(with + 1));
        let block = Block::new(&live, with);
        let answer = actor.call(|reply| Msg::Suspend(block, with, Some(reply))).no_timeout().await;
        assert!(answer.expect("answered").bytes.is_filled(with + 1));
    }
    // Given up before the answer, and answered into nothing.
    let block = Block::new(&live, 5);
    let mut call = actor.call(|reply| Msg::Suspend(block, 5, Some(reply))).owned();
    call = call.timeout(Duration::from_nanos(1));
    let late = call.await;
    assert!(matches!(late, Ok(_) | Err(CallError::Timeout { .. })));
    drop(late);
    // Ended with a suspended handler and a backlog.
    let end = rt.down(&actor);
    actor.cast(Msg::Suspend(Block::new(&live, 3), 3, None)).expect("cast");
    for with in 0..10 {
        actor.cast(Msg::Cast(Block::new(&live, with), with)).expect("cast");
    }
    actor.cast(Msg::Fail(Block::new(&live, 0))).expect("cast");
    rt.exit(&actor, ExitReason::Kill);
    assert_reason(&end.await.reason, &ExitReason::Killed);
    let refused = actor.cast(Msg::Cast(Block::new(&live, 4), 4)).expect_err("it has ended");
    match refused.into_message() {
        Msg::Cast(block, 4) => assert!(block.bytes.is_filled(4)),
        _ => panic!("another message came back"),
    }
    while live.load(Relaxed) > 0 {
        rt.sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn states_messages_and_replies_of_any_shape() {
    everywhere(|rt| async move {
        Box::pin(exercise::<Nothing, Nothing, Nothing>(&rt)).await;
        Box::pin(exercise::<Byte, Odd, Word>(&rt)).await;
        Box::pin(exercise::<Word, Byte, Odd>(&rt)).await;
        Box::pin(exercise::<Odd, Wide, Wide>(&rt)).await;
        Box::pin(exercise::<Edge, Word, Page>(&rt)).await;
        Box::pin(exercise::<Wide, Page, Nothing>(&rt)).await;
        Box::pin(exercise::<Page, Nothing, Byte>(&rt)).await;
        Box::pin(exercise::<Huge, Huge, Huge>(&rt)).await;
    });
}

/// A parent of very many.
struct Parent;

enum ToParent {
    Spawn(usize, Reply<usize>),
    Stop(Reply<usize>),
}

struct Child;
impl Actor for Child {
    type Args = ();
    type Msg = ();
    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Child)
    }
    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

impl Actor for Parent {
    type Args = ();
    type Msg = ToParent;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|_, _, _| {});
        Ok(Parent)
    }

    async fn handle(&mut self, msg: ToParent, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            ToParent::Spawn(n, reply) => {
                for _ in 0..n {
                    let options = whitebeam_actor::SpawnOptions::new();
                    let spawned = cx.spawn_child::<Child>((), options, None, None);
                    spawned.expect("room in the process table");
                }
                reply.send(cx.child_count());
            }
            ToParent::Stop(reply) => {
                let summary = cx.stop_children(Stop::Infinity).await;
                reply.send(summary.clean);
            }
        }
        Ok(())
    }
}

/// Beyond what one region of the process table holds, by several parents, twice: the second time in the
/// places of the first.
#[test]
fn very_many_processes_come_and_go() {
    let (parents, each) = (4, scaled(50_000, 2_000));
    threaded(|rt| async move {
        let mut all: Vec<ActorRef<ToParent>> = Vec::new();
        for _ in 0..parents {
            all.push(rt.start::<Parent>(()).await.expect("start"));
        }
        for _ in 0..2 {
            let spawns = all.iter().map(|parent| parent.call(|reply| ToParent::Spawn(each, reply)));
            for spawned in join_all(spawns.map(|call| call.no_timeout().into_future())).await {
                assert_eq!(spawned.expect("answered"), each);
            }
            let processes = rt.processes();
            assert_eq!(processes.len(), parents * (each + 1));
            let mut pids: Vec<_> = processes.iter().map(|info| info.pid).collect();
            pids.sort_unstable();
            pids.dedup();
            assert_eq!(pids.len(), processes.len(), "a pid was given twice");
            let stops = all.iter().map(|parent| parent.call(ToParent::Stop));
            for stopped in join_all(stops.map(|call| call.no_timeout().into_future())).await {
                assert_eq!(stopped.expect("answered"), each);
            }
            assert_eq!(rt.processes().len(), parents);
            assert!(pids.iter().filter(|pid| rt.is_alive(**pid)).count() == parents);
        }
    });
}
