//! Attached streams: order, back-pressure, the end of a stream, and how it ends with its actor.

use crate::support;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use futures_util::stream;
use parking_lot::Mutex;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, ask, assert_panic, note, now, plain, settled,
    },
    simulated,
};
use whitebeam_actor::{
    Actor, ActorRef, AttachRef, Context, During, ExitReason, Handle, Mailbox, Runtime, Stream,
};

/// A stream that the test feeds, and that knows how often it was asked.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<Fed>>);

#[derive(Default)]
struct Fed {
    items: VecDeque<u64>,
    is_over: bool,
    waker: Option<Waker>,
    given: u64,
}

impl Source {
    fn of(items: impl IntoIterator<Item = u64>) -> Self {
        let source = Source::default();
        source.0.lock().items.extend(items);
        source
    }

    fn feed(&self, item: u64) {
        self.change(|fed| fed.items.push_back(item));
    }

    fn end(&self) {
        self.change(|fed| fed.is_over = true);
    }

    fn change(&self, f: impl FnOnce(&mut Fed)) {
        let mut fed = self.0.lock();
        f(&mut fed);
        let waker = fed.waker.take();
        drop(fed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Items that were given away.
    fn given(&self) -> u64 {
        self.0.lock().given
    }
}

impl Stream for Source {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<u64>> {
        let mut fed = self.0.lock();
        match fed.items.pop_front() {
            Some(item) => {
                fed.given += 1;
                Poll::Ready(Some(item))
            }
            None if fed.is_over => Poll::Ready(None),
            None => {
                fed.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Attaches a source whose items and end (999) are events.
async fn attach(puppet: &ActorRef<Do<false>>, source: &Source, events: &Events) -> AttachRef {
    let (source, tell) = (source.clone(), events.clone());
    ask(puppet, move |cx| {
        let end = note(&tell, END);
        cx.attach(source, move |n| note(&tell, n)).on_end(end).id()
    })
    .await
}

/// What is told of a stream's end.
const END: u64 = 999;

#[test]
fn items_are_messages_in_their_order_and_the_end_comes_last() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let source = Source::of(0..50);
        attach(&puppet, &source, &events).await;
        for n in 0..50 {
            assert_eq!(events.note().await, n);
        }
        events.quiet(&rt).await;
        for n in 50..100 {
            source.feed(n);
        }
        for n in 50..100 {
            assert_eq!(events.note().await, n);
        }
        source.feed(100);
        source.end();
        assert_eq!(events.note().await, 100);
        assert_eq!(events.note().await, END);
        events.quiet(&rt).await;
    });
}

/// Handles one item for each permit that it is given.
struct Slow {
    permits: Permits,
}

/// What the test lets through.
#[derive(Clone, Default)]
struct Permits(Arc<Mutex<(u64, Option<Waker>)>>);

impl Permits {
    fn give(&self, more: u64) {
        let mut permits = self.0.lock();
        permits.0 += more;
        let waker = permits.1.take();
        drop(permits);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn take(&self) {
        std::future::poll_fn(|cx| {
            let mut permits = self.0.lock();
            if permits.0 > 0 {
                permits.0 -= 1;
                return Poll::Ready(());
            }
            permits.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

enum Items {
    Attach(Source, u32),
    Item,
}

impl Actor for Slow {
    type Args = Permits;
    type Msg = Items;

    async fn init(permits: Permits, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Slow { permits })
    }

    async fn handle(&mut self, msg: Items, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Items::Attach(source, 0) => drop(cx.attach(source, |_| Items::Item)),
            Items::Attach(source, capacity) => {
                drop(cx.attach(source, |_| Items::Item).capacity(capacity));
            }
            Items::Item => self.permits.take().await,
        }
        Ok(())
    }
}

#[test]
fn a_stream_is_held_up_exactly_while_its_capacity_is_used() {
    simulated(|rt| async move {
        // 0: what is so unless it is said.
        for (said, capacity) in [(0, 16), (1, 1), (2, 2), (5, 5), (64, 64)] {
            let (permits, source) = (Permits::default(), Source::of(0..1_000));
            let slow = rt.start::<Slow>(permits.clone()).await.unwrap();
            slow.cast(Items::Attach(source.clone(), said)).unwrap();
            let mut waiting = 0;
            for taken in 1..200 {
                // Whatever can happen has happened: the next item is in hand.
                rt.sleep(Duration::from_millis(1)).await;
                let before = waiting;
                waiting = source.given() - taken;
                let expected = match before {
                    // It began while the first one was taken.
                    0 => waiting.clamp(capacity / 2 + 1, capacity),
                    before if before - 1 <= capacity / 2 => capacity,
                    before => before - 1,
                };
                assert_eq!(waiting, expected, "capacity {capacity}, {taken} taken");
                permits.give(1);
            }
            rt.exit(&slow, ExitReason::Kill);
        }
    });
}

#[test]
fn a_fast_stream_holds_up_nobody() {
    everywhere(|rt| async move {
        // Endless, always ready.
        let (given, events) = (Arc::new(AtomicUsize::new(0)), Events::new());
        let (puppet, other) = (plain(&rt).await, plain(&rt).await);
        let counted = given.clone();
        ask(&puppet, move |cx| {
            for _ in 0..10 {
                let counted = counted.clone();
                let endless = stream::repeat_with(move || counted.fetch_add(1, Relaxed));
                cx.attach(endless, |_| now(|_| Ok(()))).capacity(50);
            }
        })
        .await;
        for _ in 0..10 {
            settled(&puppet).await;
            settled(&other).await;
        }
        assert!(given.load(Relaxed) > 0);
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        gone.await;
        let at_the_end = given.load(Relaxed);
        settled(&other).await;
        assert_eq!(given.load(Relaxed), at_the_end);
        events.quiet(&rt).await;
    });
}

#[test]
fn a_body_takes_items_by_choice_and_its_stream_goes_on() {
    everywhere(|rt| async move {
        let source = Source::of(0..100);
        let (inner, result) = (source.clone(), Events::new());
        let tell = result.clone();
        rt.spawn_fn(move |mut mailbox: Mailbox<Option<u64>>| async move {
            inner.end();
            mailbox.attach(inner, Some).on_end(None);
            // Odd ones first, as far as they are there: even ones stay where they are, and count.
            let odd = |n: &Option<u64>| n.is_some_and(|n| n % 2 == 1);
            for _ in 0..8 {
                let n = mailbox.recv_match(|n| if odd(&n) { Ok(n) } else { Err(n) }).await;
                tell.send(Event::Note(n.unwrap_or(END)));
            }
            loop {
                let next = mailbox.recv().await;
                tell.send(Event::Note(next.unwrap_or(END)));
                if next.is_none() {
                    return Ok(());
                }
            }
        });
        let mut seen = Vec::new();
        loop {
            match result.note().await {
                END => break,
                n => seen.push(n),
            }
        }
        assert_eq!(seen[..8], [1, 3, 5, 7, 9, 11, 13, 15]);
        assert_eq!(seen[8..16], [0, 2, 4, 6, 8, 10, 12, 14]);
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_detached_stream_is_dropped_and_what_waits_stays() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let (source, dropped) = (Source::of(0..3), events.clone());
        let held = OnDrop::new(move || dropped.send(Event::Note(77)));
        let (inner, tell) = (source.clone(), events.clone());
        let id = ask(&puppet, move |cx| {
            let end = note(&tell, END);
            let stream = stream::unfold((inner, held), |(mut inner, held)| async move {
                futures_util::StreamExt::next(&mut inner).await.map(|n| (n, (inner, held)))
            });
            cx.attach(Box::pin(stream), move |n| note(&tell, n)).on_end(end).id()
        })
        .await;
        for n in 0..3 {
            assert_eq!(events.note().await, n);
        }
        let other = plain(&rt).await;
        assert!(!ask(&other, move |cx| cx.detach(id)).await, "another's");
        let tell = events.clone();
        let was_there = ask(&puppet, move |cx| {
            let was_there = cx.detach(id);
            tell.send(Event::Note(78));
            was_there
        });
        assert!(was_there.await);
        assert_eq!(events.note().await, 77, "it is dropped at once");
        assert_eq!(events.note().await, 78);
        source.feed(4);
        source.end();
        assert!(!ask(&puppet, move |cx| cx.detach(id)).await);
        events.quiet(&rt).await;
        // Items that wait in the mailbox stay there.
        let source = Source::of(0..1_000);
        let (inner, tell) = (source.clone(), events.clone());
        ask(&puppet, move |cx| {
            let id = Arc::new(Mutex::new(None));
            let to_detach = id.clone();
            let attached = cx.attach(inner, move |n| {
                if n != 5 {
                    return note(&tell, n);
                }
                let (id, tell) = (to_detach.clone(), tell.clone());
                now(move |cx| {
                    let id = id.lock().take();
                    tell.send(Event::Note(if cx.detach(id.unwrap()) { 5 } else { 0 }));
                    Ok(())
                })
            });
            *id.lock() = Some(attached.id());
        })
        .await;
        let mut count = 0;
        while count <= 5 || count < source.given() {
            assert_eq!(events.note().await, count);
            count += 1;
        }
        assert!(count < 6 + 16);
        events.quiet(&rt).await;
    });
}

#[test]
fn the_message_of_the_end_may_be_asked_for_late_or_twice() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let tell = events.clone();
        let attached = ask(&puppet, move |cx| {
            let told = tell.clone();
            cx.attach(stream::iter([1]), move |n| note(&told, n))
                .on_end(note(&tell, 2))
                .on_end(note(&tell, 3))
        })
        .await;
        assert_eq!(events.note().await, 1);
        assert_eq!(events.note().await, 3, "the last one counts");
        drop(attached.on_end(note(&events, 4)));
        assert_eq!(events.note().await, 4, "at once");
        settled(&puppet).await;
        let info = puppet.info().expect("it lives");
        assert_eq!(info.mailbox_len, 0, "it does not count");
        let attached = ask(&puppet, |cx| cx.attach(stream::iter([0]), |_| now(|_| Ok(())))).await;
        let gone = rt.down(&puppet);
        settled(&puppet).await;
        settled(&puppet).await;
        rt.exit(&puppet, ExitReason::Kill);
        gone.await;
        drop(attached.on_end(note(&events, 5)));
        events.quiet(&rt).await;
    });
}

#[test]
fn a_stream_ends_with_its_actor_before_anybody_hears() {
    everywhere(|rt| async move {
        for reason in [ExitReason::Kill, ExitReason::Shutdown, ExitReason::custom("signal")] {
            let events = Events::new();
            let puppet = rt.start::<Plain>(Script::new().tell_drop(&events)).await.unwrap();
            let (stream, function, end) = (events.clone(), events.clone(), events.clone());
            ask(&puppet, move |cx| {
                let held = OnDrop::new(move || stream.send(Event::Note(1)));
                let in_f = OnDrop::new(move || function.send(Event::Note(2)));
                let of_end = OnDrop::new(move || end.send(Event::Note(3)));
                let stream = stream::poll_fn(move |_| {
                    let _ = &held;
                    Poll::<Option<()>>::Pending
                });
                cx.attach(stream, move |()| {
                    let _ = &in_f;
                    now(|_| Ok(()))
                })
                .on_end(now(move |_| {
                    drop(of_end);
                    Ok(())
                }));
            })
            .await;
            let gone = rt.down(&puppet);
            rt.exit(&puppet, reason);
            gone.await;
            let mut notes: Vec<u64> = Vec::new();
            for _ in 0..3 {
                notes.push(events.note().await);
            }
            notes.sort_unstable();
            assert_eq!(notes, [1, 2, 3]);
            // All of it was there when the end was heard of, and the state last.
            let rest = events.take();
            assert!(matches!(rest[..], [Event::Dropped]), "{rest:?}");
        }
    });
}

#[test]
fn a_panic_of_a_stream_or_of_its_function_ends_the_actor() {
    expect_panics();
    everywhere(|rt| async move {
        for in_function in [false, true] {
            let (events, puppet) = (Events::new(), plain(&rt).await);
            let gone = rt.down(&puppet);
            let tell = events.clone();
            puppet
                .cast(now(move |cx| {
                    let mut left = 3;
                    let items = stream::poll_fn(move |_| {
                        left -= 1;
                        assert!(left > 0 || in_function, "{EXPECTED}");
                        Poll::Ready(Some(left))
                    });
                    cx.attach(items, move |left| {
                        assert!(left > 0, "{EXPECTED}");
                        note(&tell, left as u64)
                    });
                    Ok(())
                }))
                .unwrap();
            assert_panic(&gone.await.reason, EXPECTED);
            assert_eq!(rt.crashes().pop().map(|crash| crash.during), Some(During::Work));
        }
    });
}

/// Items come from a thread, faster than they are taken and slower.
#[test]
fn items_from_threads_all_come() {
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().unwrap();
        rt.block_on(async {
            let (events, puppet) = (Events::new(), plain(&rt).await);
            let sources: Vec<Source> = (0..3).map(|_| Source::default()).collect();
            let sum = Arc::new(AtomicUsize::new(0));
            for source in &sources {
                let (source, sum, tell) = (source.clone(), sum.clone(), events.clone());
                ask(&puppet, move |cx| {
                    cx.attach(source, move |n| {
                        let sum = sum.clone();
                        now(move |_| {
                            sum.fetch_add(n as usize, Relaxed);
                            Ok(())
                        })
                    })
                    .on_end(note(&tell, END));
                })
                .await;
            }
            let count = support::scaled(20_000, 200) as u64;
            let feeders: Vec<_> = sources
                .into_iter()
                .map(|source| {
                    std::thread::spawn(move || {
                        for n in 0..count {
                            source.feed(n);
                            if n % 64 == 0 {
                                std::thread::yield_now();
                            }
                        }
                        source.end();
                    })
                })
                .collect();
            for _ in 0..3 {
                assert_eq!(events.note().await, END);
            }
            assert_eq!(sum.load(Relaxed) as u64, 3 * (count * (count - 1) / 2));
            feeders.into_iter().for_each(|feeder| feeder.join().unwrap());
        });
    }
}

/// A handle is not needed for a stream to go on.
#[test]
fn a_runtime_is_left_without_its_streams() {
    let source = Source::of(0..10);
    let rt: Runtime = Runtime::simulated(9).unwrap();
    let handle: Handle = rt.handle();
    let weak = Arc::downgrade(&source.0);
    rt.block_on(async {
        let events = Events::new();
        let puppet = plain(&handle).await;
        attach(&puppet, &source, &events).await;
        for n in 0..10 {
            assert_eq!(events.note().await, n);
        }
    });
    drop(source);
    assert!(weak.upgrade().is_some());
    drop((rt, handle));
    assert!(weak.upgrade().is_none());
}
