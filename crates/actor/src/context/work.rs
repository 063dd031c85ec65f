//! Work beside the mailbox: what is piped, attached, or run on a thread for blocking work.

use futures_core::Stream;
use whitebeam_scheduler::Refused;

use super::Context;
use crate::{Actor, AttachRef, Attached, Pipe, work};

// For the `unsafe` blocks see above `impl Context` in the parent.
impl<A: Actor> Context<A> {
    /// Goes on with `work`, a future or a call, beside the handling of messages, and handles the message `f(output)`
    /// when it is done. This is how an actor waits without holding up its mailbox.
    ///
    /// The future is polled by the actor itself, between two messages and while a handler is suspended: nothing else
    /// of the actor's runs at that moment, and what computes for long holds up the actor (that is for
    /// [`blocking`](Self::blocking)). It begins when this handler is done or suspends. Messages of what is done come in
    /// the order in which they are done; they are never dropped, nor do they count in a mailbox's bound. `f` is called
    /// by the actor, with the plain output.
    ///
    /// A call is made [`owned`](crate::Call::owned). As it holds up nobody, it is in no circle of calls: an actor may
    /// pipe a call to itself.
    ///
    /// # The end
    ///
    /// The future is the actor's own. If it panics, or `f` does, the actor ends with that panic, at once, as if by an
    /// exit signal. When the actor ends for another reason the future is dropped, after `terminate` and before the
    /// state, and before anybody is told of the end; it goes on while `terminate` is suspended, or a handler that the end
    /// waits for.
    ///
    /// # Cost
    ///
    /// Two allocations and the message, and as much as a message for each poll. A wake-up from elsewhere costs a short
    /// lock and what a signal costs.
    ///
    /// # Differences from OTP
    ///
    /// There, one starts a process that sends its result. Here nothing can be sent to, linked or killed; and there is no
    /// second process to run in parallel: for that, pipe a task of [`Handle::spawn_task`](crate::Handle::spawn_task).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
    /// struct Cache { page: Option<String>, waiting: Vec<Reply<String>> }
    /// enum Msg { Get(Reply<String>), Loaded(Result<String, std::io::Error>) }
    ///
    /// impl Actor for Cache {
    ///     type Args = ();
    ///     type Msg = Msg;
    ///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         let rt = cx.runtime();
    ///         cx.pipe(async move {
    ///             rt.sleep(Duration::from_secs(2)).await; // what takes its time
    ///             Ok("<html>".to_owned())
    ///         }, Msg::Loaded);
    ///         Ok(Cache { page: None, waiting: Vec::new() })
    ///     }
    ///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match msg {
    ///             Msg::Get(reply) => match &self.page {
    ///                 Some(page) => reply.send(page.clone()),
    ///                 None => self.waiting.push(reply),
    ///             },
    ///             Msg::Loaded(page) => {
    ///                 let page = self.page.insert(page?);
    ///                 self.waiting.drain(..).for_each(|reply| reply.send(page.clone()));
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let cache = rt.start::<Cache>(()).await?;
    ///     assert_eq!(cache.call(Msg::Get).await?, "<html>");
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe<P: Pipe>(&mut self, work: P, f: impl FnOnce(P::Output) -> A::Msg + Send + 'static) {
        // SAFETY: see above the parent's impl.
        unsafe { work::pipe(self.own(), work, f) };
    }

    /// Handles a message `f(item)` for each item of `stream`, in their order. More is said of it by what this gives:
    /// [`on_end`](Attached::on_end), a message for the stream's end, and [`capacity`](Attached::capacity).
    ///
    /// The stream is held up by its actor: as many items as its capacity, 16, wait in the mailbox at most, and then it
    /// is not polled before half of them were taken. They count in no bound of the mailbox, and none is dropped. In
    /// everything else it is as with [`pipe`](Self::pipe): where it is polled, how it and the actor end.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
    /// struct Sum(u64, Option<Reply<u64>>);
    /// enum Msg { Add(u64), End }
    ///
    /// impl Actor for Sum {
    ///     type Args = Reply<u64>;
    ///     type Msg = Msg;
    ///     async fn init(result: Reply<u64>, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         let numbers = futures_util::stream::iter(1..=100);
    ///         cx.attach(numbers, Msg::Add).on_end(Msg::End);
    ///         Ok(Sum(0, Some(result)))
    ///     }
    ///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match msg {
    ///             Msg::Add(n) => self.0 += n,
    ///             Msg::End => {
    ///                 self.1.take().into_iter().for_each(|result| result.send(self.0));
    ///                 cx.stop(ExitReason::Normal);
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// let (result, sum) = whitebeam_actor::oneshot();
    /// rt.block_on(async {
    ///     rt.start::<Sum>(result).await?;
    ///     assert_eq!(sum.await.ok(), Some(5_050));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach<S: Stream + Send + 'static>(
        &mut self,
        stream: S,
        f: impl FnMut(S::Item) -> A::Msg + Send + 'static,
    ) -> Attached<A::Msg> {
        // SAFETY: see above the parent's impl.
        unsafe { work::attach(self.own(), stream, f) }
    }

    /// Takes a stream back: it is dropped here, and no message comes of it any more but those that wait in the mailbox
    /// already. Its end is not told. `false`: it has ended, or is another process's.
    pub fn detach(&mut self, stream: AttachRef) -> bool {
        // SAFETY: see above the parent's impl.
        unsafe { work::detach(self.own(), stream) }
    }

    /// Runs `work` on a thread for blocking work, and handles the message `f(output)` when it has returned. For what
    /// holds up its thread: files, locks, long computations, [`Call::blocking`](crate::Call::blocking).
    ///
    /// There are at most [`Builder::blocking_threads`](crate::Builder::blocking_threads) such threads; with all of them
    /// busy it waits for its turn. That queue has no limit here: see [`try_blocking`](Self::try_blocking). The message
    /// and `f` are as with [`pipe`](Self::pipe). In a simulation it runs on the simulation's thread, at a moment that is
    /// chosen, and takes no virtual time.
    ///
    /// # The end
    ///
    /// If `work` panics, the actor ends with that panic. If the actor ends first, and `work` has not begun, it never
    /// will: it is dropped, before anybody is told of the end. If it runs, it goes on; **nothing can stop a thread that
    /// runs somebody's code**, and the end does not wait for it: that would let one slow disk hold up a supervisor. So
    /// here, and only here, code of an actor's runs after its DOWN. It is no part of the process: it has no context and
    /// no pid, what it returns is dropped on its thread, `f` is not called, and a panic is only
    /// [counted](crate::BlockingMetrics::panics). What it does to the world outside it does: where that matters,
    /// give it something to look at (an `Arc<AtomicBool>`) now and then.
    ///
    /// # Cost
    ///
    /// Two hand-overs between threads, some microseconds: for what takes longer.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
    /// struct Hasher;
    /// enum Msg { Hash(Vec<u8>, Reply<u64>), Hashed(u64, Reply<u64>) }
    ///
    /// impl Actor for Hasher {
    ///     type Args = ();
    ///     type Msg = Msg;
    /// #   async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Hasher) }
    ///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match msg {
    ///             Msg::Hash(data, reply) => cx.blocking(
    ///                 move || data.iter().fold(5381_u64, |hash, byte| hash * 33 + u64::from(*byte)),
    ///                 |hash| Msg::Hashed(hash, reply),
    ///             ),
    ///             Msg::Hashed(hash, reply) => reply.send(hash),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let hasher = rt.start::<Hasher>(()).await?;
    ///     assert_eq!(hasher.call(|reply| Msg::Hash(vec![1], reply)).await?, 5381 * 33 + 1);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        f: impl FnOnce(T) -> A::Msg + Send + 'static,
    ) {
        // SAFETY: see above the parent's impl.
        unsafe { work::blocking(self.own(), work, f) };
    }

    /// As [`blocking`](Self::blocking), unless all threads are busy and as many closures wait as
    /// [`Builder::blocking_queue`](crate::Builder::blocking_queue) allows.
    ///
    /// # Errors
    /// `work` and `f`, neither of which was called, and why.
    pub fn try_blocking<T, W, F>(&mut self, work: W, f: F) -> Result<(), Refused<(W, F)>>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        F: FnOnce(T) -> A::Msg + Send + 'static,
    {
        // SAFETY: see above the parent's impl.
        unsafe { work::try_blocking(self.own(), work, f) }
    }
}
