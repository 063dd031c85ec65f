//! What a process is said to take, against what its allocator says. A file of its own: it has a global allocator.
#![expect(unsafe_code, reason = "a global allocator that counts")]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
    time::Duration,
};

use support::puppet::{Events, Plain, Script, ask, hang, note, plain, settled};
use whitebeam_actor::{
    Actor, ActorRef, Context, ExitReason, Handle, Level, Reply, Runtime, SpawnOptions, Status,
};

const MS: Duration = Duration::from_millis(1);

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: usize, up: bool) {
    let bytes = isize::try_from(bytes).expect("no layout is larger");
    HELD.fetch_add(if up { bytes } else { -bytes }, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator with the very same arguments; counting does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), true);
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), false);
        // SAFETY: the caller's word.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), false);
        count(size, true);
        // SAFETY: the caller's word.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A state that is boxed, and whose handler needs a buffer of 4 KiB to suspend.
struct Large([u64; 1_000]);

enum Msg {
    Get(Reply<u64>),
    /// Suspends until it is answered.
    Wait(whitebeam_actor::Answered<()>),
}

impl Actor for Large {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Large([7; 1_000]))
    }

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Get(reply) => reply.send(self.0.iter().sum()),
            Msg::Wait(until) => {
                let held = [1_u64; 300];
                let _ = until.await;
                assert_eq!(held.iter().sum::<u64>(), 300);
            }
        }
        Ok(())
    }
}

/// How many bytes more are held by the allocator, and how many more processes are said to take, after `f`.
///
/// In the one simulation of this file nothing else runs. Cells are no memory of the allocator's: what is said of them
/// is left out.
async fn grown(
    rt: &Handle,
    of: &ActorRef<impl Send + 'static>,
    f: impl AsyncFnOnce(),
) -> (isize, isize) {
    let look = || {
        let held = HELD.load(Ordering::Relaxed);
        (held, rt.info(of).expect("it lives").memory as isize)
    };
    let before = look();
    f().await;
    rt.sleep(MS).await;
    let after = look();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn memory_is_what_the_allocator_says() {
    let rt = Runtime::simulated(1).expect("a runtime");
    rt.block_on(async {
        let rt = rt.handle();
        // Workers' buffers, lists and the like are there when it has been done once.
        for _ in 0..3 {
            rt.sleep(MS).await;
        }
        for is_warm in [false, true] {
            let check = |what: &str, (held, said): (isize, isize)| {
                // What is on its way, and lists of the simulation, make some bytes.
                let is_so = (held - said).abs() <= 64;
                assert!(!is_warm || is_so, "{what}: {held} bytes are held, {said} are said");
                assert!(!is_warm || said > 128, "{what}: {said} are said");
            };
            // A boxed state: beside the cell, whose class is what is left.
            let before = HELD.load(Ordering::Relaxed);
            let large = rt.start::<Large>(()).await.expect("a process");
            large.call(Msg::Get).await.expect("an answer");
            let held = HELD.load(Ordering::Relaxed) - before;
            let said = rt.info(&large).expect("it lives").memory as isize;
            // Header and address, in the class for that.
            check("a boxed state", (held, said - 144));
            assert!(said > 8_000);

            // The frame of a suspended handler: it has the worker's buffer, and the next handler of the size another
            // one. (The second time round there are spare ones.)
            let (reply, answer) = whitebeam_actor::oneshot();
            let suspended = large.clone();
            let other = rt.start::<Large>(()).await.expect("a process");
            other.call(Msg::Get).await.expect("an answer");
            let (held, said) = grown(&rt, &large, async || {
                suspended.cast(Msg::Wait(answer)).expect("it lives");
                while rt.info(&suspended).expect("it lives").status != Status::Suspended {
                    rt.sleep(MS).await;
                }
                other.call(Msg::Get).await.expect("an answer");
            })
            .await;
            assert_eq!(said, 4_096);
            // Each inbox keeps the node that it has seen last.
            assert!(
                is_warm || (held - said).abs() <= 256,
                "{held} bytes are held, {said} are said"
            );
            reply.send(());
            large.call(Msg::Get).await.expect("an answer");
            assert!(rt.info(&large).expect("it lives").memory as isize + 4_096 > said);

            // Tables, from none to large ones. The others are at rest, and have had a link each: theirs do not grow.
            let mut others = Vec::new();
            for _ in 0..40 {
                others.push(plain(&rt).await);
            }
            let link = async |n: usize| {
                let one = plain(&rt).await;
                settled(&one).await;
                let some: Vec<_> = others[..n].iter().map(ActorRef::pid).collect();
                let to_unlink = some.clone();
                let grown = grown(&rt, &one, async || {
                    ask(&one, move |cx| some.iter().for_each(|pid| cx.link(pid))).await;
                    for other in &others {
                        settled(other).await;
                    }
                })
                .await;
                ask(&one, move |cx| to_unlink.iter().for_each(|pid| cx.unlink(pid))).await;
                for other in &others {
                    settled(other).await;
                }
                grown
            };
            link(40).await;
            for n in [1, 3, 4, 7, 8, 14, 15, 40] {
                let (held, said) = link(n).await;
                // Each inbox keeps the node that it has seen last, and the list of pids goes.
                let own = isize::try_from(8 * n).expect("a few");
                assert!((held + own - said).abs() <= 64, "{n} links: {held} held, {said} said");
                assert!(said > 4 * own, "{n} links: {said} said");
            }
            let events = Events::new();
            let fresh = plain(&rt).await;
            settled(&fresh).await;
            let target = others[0].clone();
            let said = events.clone();
            let (held, grew) = grown(&rt, &fresh, async || {
                let said = said.clone();
                ask(&fresh, move |cx| {
                    for n in 0..10 {
                        cx.monitor(&target, support::puppet::down(&said, n));
                    }
                })
                .await;
                settled(&others[0]).await;
            })
            .await;
            // Each monitor has its constructor in a box, which is not counted, and a place in the other's table.
            assert!(grew > 0 && held >= grew, "{held} bytes are held, {grew} are said");

            // A part, for a label.
            let labelled = plain(&rt).await;
            // From here on its inbox keeps no node: a request goes back.
            settled(&labelled).await;
            let label = whitebeam_actor::Name::from("x");
            check(
                "a label",
                grown(&rt, &labelled, async || {
                    let label = label.clone();
                    ask(&labelled, |cx| cx.set_label(label)).await;
                })
                .await,
            );
            // Futures beside the mailbox, with what holds and wakes them.
            for n in [1, 3, 20] {
                let busy = plain(&rt).await;
                settled(&busy).await;
                let held = events.clone();
                let attached = grown(&rt, &busy, async || {
                    let held = held.clone();
                    ask(&busy, move |cx| {
                        for number in 0..n {
                            let large = [number; 50];
                            let pending = async move {
                                std::future::pending::<()>().await;
                                large.iter().sum::<u64>()
                            };
                            let held = held.clone();
                            cx.pipe(pending, move |sum| support::puppet::note(&held, sum));
                        }
                    })
                    .await;
                });
                let (held, said) = attached.await;
                assert!(said > 400 * n as isize, "{n} futures: {said} are said");
                check(&format!("{n} futures"), (held, said));
            }
            // What is kept of who is watched.
            let kept = plain(&rt).await;
            settled(&kept).await;
            rt.set_level(Level::Full);
            check("a watch", grown(&rt, &kept, async || settled(&kept).await).await);
            rt.set_level(Level::Counts);
            let hanging = plain(&rt).await;
            let options = SpawnOptions::new().keep_last(100);
            let last = rt.with(options).start::<Plain>(Script::new()).await.expect("a process");
            hanging.cast(hang(&events, ())).expect("it lives");
            events.hanging().await;
            let grew = grown(&rt, &last, async || {
                for n in 0..100 {
                    last.cast(note(&events, n)).expect("it lives");
                }
                for n in 0..100 {
                    assert_eq!(events.note().await, n);
                }
            });
            let (_, said) = grew.await;
            assert!(said >= (100 * size_of::<&str>()) as isize, "{said} are said");
            // The next round begins with nothing.
            for info in rt.processes() {
                let gone = rt.down(info.pid);
                rt.exit(info.pid, ExitReason::Kill);
                gone.await;
            }
            rt.sleep(MS).await;
        }
    });
}
