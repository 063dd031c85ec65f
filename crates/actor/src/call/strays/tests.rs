use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Barrier},
    task::{Context as TaskContext, Poll, Waker},
};

use super::{super as call, STRAYS};
use crate::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};

/// Is sent requests that have no reply in them.
struct Sink;

enum Ask {
    /// Nothing.
    Idle,
    Settled(Reply<()>),
}

impl Actor for Sink {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Sink)
    }

    async fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Ask::Settled(reply) = ask {
            reply.send(());
        }
        Ok(())
    }
}

fn strays() -> usize {
    STRAYS.lock().len()
}

/// A call that is over while its request is not yet read.
fn stray(sink: &ActorRef<Ask>) {
    let mut kept = None;
    let mut call = sink
        .call(|reply: Reply<u32>| {
            kept = Some(reply);
            Ask::Idle
        })
        .into_future();
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(Pin::new(&mut call).poll(&mut cx).is_pending());
    kept.expect("the closure was called").send(7);
    assert!(matches!(Pin::new(&mut call).poll(&mut cx), Poll::Ready(Ok(7))));
}

/// In one test, since the list is the program's.
#[test]
fn a_stray_is_freed_when_its_request_is_taken() {
    let rt = Runtime::simulated(1).expect("a tag");
    let sink = rt.spawn::<Sink>(());
    for _ in 0..10 {
        stray(&sink);
    }
    assert_eq!(strays(), 10);
    rt.block_on(sink.call(Ask::Settled).into_future()).expect("it lives");
    assert_eq!(strays(), 0, "read");
    // With the runtime, unread.
    stray(&sink);
    assert_eq!(strays(), 1);
    drop((sink, rt));
    assert_eq!(strays(), 0, "disposed of");

    race();
    assert_eq!(strays(), 0, "whoever comes second");
}

/// One takes the request out while the other ends the call.
fn race() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 5_000 };
    let gate = Arc::new(Barrier::new(2));
    let (give, take) = std::sync::mpsc::channel::<usize>();
    let taker = std::thread::spawn({
        let gate = gate.clone();
        move || {
            for address in take {
                gate.wait();
                let node = std::ptr::NonNull::new(std::ptr::with_exposed_provenance_mut(address));
                // SAFETY: a request of a call that is not over yet, or waits for this.
                drop(unsafe { call::take_request::<Box<u32>>(node.expect("not null")) });
            }
        }
    });
    for round in 0..ROUNDS {
        let mut kept = None;
        let mut waiting = call::waiting::<Box<u32>, u32>(|reply| {
            kept = Some(reply);
            Box::new(1)
        });
        // As if it were in an inbox.
        waiting.unsent = false;
        give.send(waiting.node().as_ptr().expose_provenance()).expect("the taker lives");
        gate.wait();
        for _ in 0..round % 200 {
            std::hint::spin_loop();
        }
        kept.expect("the closure was called").send(2);
        assert_eq!(waiting.finish().expect("answered"), 2);
    }
    drop(give);
    taker.join().expect("no panic");
}
