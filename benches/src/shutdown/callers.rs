//! Those who start the children: actors that call `start_child`, each waiting for one child before
//! the next.

use std::future::{self, Future};
use std::task::Poll;

use whitebeam::{Actor, ActorRef, CallError, Context, ExitReason, Handle, Reply};

use super::children::{JobChild, Work};
use super::tree::Tree;
use crate::failure::Failure;

/// Starts children 0 to `children` - 1 under `tree`, shared among `callers`, and sends them their
/// work.
///
/// # Errors
///
/// When a child does not start.
pub(crate) async fn start_children<C: JobChild>(
    rt: &Handle,
    tree: &Tree<C>,
    work: &Work,
    children: u64,
    callers: u64,
) -> Result<(), Failure> {
    let actors: Vec<_> =
        (0..callers).map(|_| rt.spawn::<Caller<C>>((tree.clone(), work.clone()))).collect();
    let shares = actors.iter().zip(0..).map(|(caller, first)| {
        share(caller, move |reply| Share { first, step: callers, end: children, reply })
    });
    let all: Result<Vec<()>, CallError> = join(shares.collect()).await.into_iter().collect();
    all.map(drop).map_err(Failure::library("starting the children"))
}

async fn share(
    caller: &ActorRef<Share>,
    ask: impl FnOnce(Reply<()>) -> Share,
) -> Result<(), CallError> {
    caller.call(ask).no_timeout().await
}

/// Drives all futures side by side to their ends.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    future::poll_fn(|cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

struct Caller<C: JobChild> {
    tree: Tree<C>,
    work: Work,
}

/// Start the children `first`, `first + step` .. below `end`.
#[derive(Debug)]
struct Share {
    first: u64,
    step: u64,
    end: u64,
    reply: Reply<()>,
}

impl<C: JobChild> Actor for Caller<C> {
    type Args = (Tree<C>, Work);
    type Msg = Share;

    async fn init((tree, work): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { tree, work })
    }

    async fn handle(&mut self, share: Share, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let mut number = share.first;
        while number < share.end {
            let child = self.tree.start_child(number, C::args(number, &self.work)).await?;
            C::send_work(&child, number, &self.work)?;
            number += share.step;
        }
        share.reply.send(());
        cx.stop(ExitReason::Normal);
        Ok(())
    }
}
