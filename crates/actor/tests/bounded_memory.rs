//! What a bounded mailbox holds while its process does not come to its messages. An own program, since the allocator
//! counts everything.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        atomic::{AtomicIsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use whitebeam_actor::{
    Actor, ActorRef, Context, ExitReason, Overflow, Reply, Runtime, SpawnOptions, Status, oneshot,
};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator, and a counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed(), Relaxed);
        // SAFETY: the caller's word.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Handles numbers, once it is let.
struct Stuck(Vec<u64>);

enum Msg {
    /// Holds the worker.
    Block(Reply<()>, mpsc::Receiver<()>),
    /// Suspends the handler.
    Suspend(Reply<()>, whitebeam_actor::Answered<()>),
    Number(u64),
    Get(Reply<Vec<u64>>),
}

impl Actor for Stuck {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Stuck(Vec::new()))
    }

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Block(entered, until) => {
                entered.send(());
                // Released by the test, or at the latest when it has failed.
                let _ = until.recv_timeout(Duration::from_secs(60));
            }
            Msg::Suspend(entered, until) => {
                entered.send(());
                let _ = until.await;
            }
            Msg::Number(n) => self.0.push(n),
            Msg::Get(reply) => reply.send(std::mem::take(&mut self.0)),
        }
        Ok(())
    }
}

const LIMIT: u64 = 16;

/// Sends a million messages, and a signal that becomes none now and then, and says what is held in the middle of it.
fn flood(rt: &Runtime, stuck: &ActorRef<Msg>, with_signals: bool) -> isize {
    let sends = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    let begin = stuck.info().expect("it lives");
    let room = LIMIT - begin.mailbox_len as u64;
    let before = LIVE.load(Relaxed);
    let mut most = 0;
    for n in 0..sends {
        stuck.cast(Msg::Number(n)).expect("never refused");
        if with_signals && n % 4 == 0 {
            drop(rt.down(stuck));
        }
        if n % 1024 == 0 && !with_signals {
            most = most.max(LIVE.load(Relaxed) - before);
        }
    }
    if with_signals {
        // They take memory until the process has drained them.
        while stuck.info().expect("it lives").status == Status::Running {
            std::thread::yield_now();
        }
        most = LIVE.load(Relaxed) - before;
    }
    let info = stuck.info().expect("it lives");
    assert_eq!((info.mailbox_len as u64, info.dropped - begin.dropped), (LIMIT, sends - room));
    most
}

#[test]
fn a_flood_leaves_no_more_than_the_bound_however_the_process_is_stuck() {
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let options = SpawnOptions::new().bounded(LIMIT as usize, Overflow::DropOldest);
        let stuck = rt.with(options).spawn::<Stuck>(());
        let last = |rt: &Runtime| {
            let got = rt
                .block_on(async { stuck.call(Msg::Get).wait_for_room().await.expect("it lives") });
            assert_eq!(got.len() as u64, LIMIT);
            assert!(got.windows(2).all(|two| two[0] + 1 == two[1]), "{got:?}");
        };

        let (entered, is_in) = oneshot();
        let (release, until) = mpsc::channel();
        stuck.cast(Msg::Block(entered, until)).expect("never refused");
        rt.block_on(is_in).expect("it is held");
        let held = flood(&rt, &stuck, false);
        assert!(held < 16 * 1024, "{held} bytes behind a handler that blocks");
        drop(release);
        last(&rt);

        let (entered, is_in) = oneshot();
        let (release, until) = oneshot();
        stuck.cast(Msg::Suspend(entered, until)).expect("never refused");
        rt.block_on(is_in).expect("it is held");
        for with_signals in [false, true] {
            let held = flood(&rt, &stuck, with_signals);
            assert!(held < 16 * 1024, "{held} bytes behind a handler that is suspended");
        }
        release.send(());
        last(&rt);
    }
}
