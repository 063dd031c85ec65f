//! Servers: what comes to their mailbox, what they keep while they are idle, their parent's end; and what shares a
//! worker with them.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use support::{
    everywhere,
    puppet::{
        Do, Event, Events, Plain, Script, Tidy, ask, assert_because, because, down, later, note,
        now, plain, settled, trap,
    },
};
use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Handle, Runtime, SpawnOptions};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// There is no message of an unknown type: what others may bring is a variant of the server's own messages, and what
/// it did not ask for does not come.
#[test]
fn srv_045_what_is_no_request_comes_as_a_message_too() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (server, other) = (plain(&rt).await, plain(&rt).await);
        let (told, watched) = (events.clone(), other.clone());
        ask(&server, move |cx| {
            trap(cx, &told);
            cx.link(&watched);
            cx.monitor(&watched, down(&told, 1));
            cx.send_after(ms(10), note(&told, 2));
        })
        .await;
        assert_eq!(events.note().await, 2);
        rt.exit(&other, because("gone"));
        let mut kinds = [0, 0];
        for _ in 0..2 {
            match events.next().await {
                Event::Down(1, down) => {
                    assert_because(&down.reason, "gone");
                    kinds[0] += 1;
                }
                Event::Exit(exit) => {
                    assert_because(&exit.reason, "gone");
                    kinds[1] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(kinds, [1, 1]);
        settled(&server).await;
        events.quiet(&rt).await;
    });
}

/// A handler whose own data fills pages: while it is suspended, the process has a buffer for it.
fn large_and_suspended(events: &Events, sleep: Duration) -> Do<false> {
    let events = events.clone();
    later(move |_, cx| {
        Box::pin(async move {
            let data = [1_u8; 64 << 10];
            cx.runtime().sleep(sleep).await;
            let sum: u64 = data.iter().map(|&byte| u64::from(byte)).sum();
            events.send(Event::Note(sum));
            Ok(())
        })
    })
}

async fn is_at_rest(rt: &Handle, server: &ActorRef<Do<false>>, memory: usize) {
    until(rt, || {
        let info = rt.info(server).expect("alive");
        !info.is_suspended && info.memory == memory && info.mailbox_len == 0
    })
    .await;
}

/// The deadline is that of the whole test.
async fn until(rt: &Handle, is_so: impl Fn() -> bool) {
    while !is_so() {
        rt.sleep(ms(1)).await;
    }
}

/// Nothing is asked for: a process that has nothing to do has given back what its last handler used, and has no more
/// than its cell and its state.
#[test]
fn srv_046_an_idle_server_keeps_its_state_and_no_buffer() {
    everywhere(|rt| async move {
        let (server, events) = (plain(&rt).await, Events::new());
        let memory = rt.info(&server).expect("alive").memory;
        for round in 0..3 {
            server.cast(large_and_suspended(&events, ms(5))).expect("cast");
            assert_eq!(events.note().await, 64 << 10);
            is_at_rest(&rt, &server, memory).await;
            // It wakes by the next message, and the state is there.
            server.cast(note(&events, round)).expect("cast");
            assert_eq!(events.note().await, round);
        }
    });
}

/// As above, after each kind of message. What a process has for its timers, links and monitors is made with the first
/// and stays.
#[test]
fn srv_047_a_server_is_at_rest_after_whatever_it_handles() {
    everywhere(|rt| async move {
        let (server, events) = (plain(&rt).await, Events::new());
        ask(&server, |cx| drop(cx.alias())).await;
        let memory = rt.info(&server).expect("alive").memory;
        is_at_rest(&rt, &server, memory).await;
        server.cast(note(&events, 1)).expect("cast");
        assert_eq!(events.note().await, 1);
        is_at_rest(&rt, &server, memory).await;
        let told = events.clone();
        ask(&server, move |cx| {
            cx.send_after(ms(100), note(&told, 2));
        })
        .await;
        assert_eq!(events.note().await, 2);
        is_at_rest(&rt, &server, memory).await;
    });
}

/// As above: at rest is what a process is when there is nothing in its mailbox.
#[test]
fn proc_054_what_comes_as_a_process_goes_to_rest_wakes_it() {
    everywhere(|rt| async move {
        let (server, events) = (plain(&rt).await, Events::new());
        // Each round it may be about to rest, at rest or still awake.
        for round in 0..500 {
            for n in 0..round % 3 + 1 {
                server.cast(note(&events, n)).expect("cast");
            }
            for n in 0..round % 3 + 1 {
                assert_eq!(events.note().await, n);
            }
        }
    });
}

/// A registered parent is a parent like any other.
#[test]
fn srv_051_terminate_runs_when_the_named_parent_goes() {
    everywhere(|rt| async move {
        for parent_goes in [false, true] {
            let events = Events::new();
            let options = SpawnOptions::new().name("parent");
            let parent = rt.with(options).start::<Plain>(Script::new()).await.expect("start");
            let script = Script::new().trap(&events).tell_terminate(&events);
            let server = ask(&parent, move |cx| cx.spawn_link::<Tidy>(script)).await;
            settled(&server).await;
            let gone = rt.down(&server);
            if parent_goes {
                let pid = rt.whereis("parent").expect("by its name");
                parent.cast(now(|_| Err(because("the parent's")))).expect("cast");
                assert_because(&events.terminated().await, "the parent's");
                assert_because(&gone.await.reason, "the parent's");
                rt.down(pid).await;
            } else {
                rt.stop(&server, ExitReason::Normal).await.expect("stop");
                assert!(events.terminated().await.is_normal());
                rt.stop(&parent, ExitReason::Normal).await.expect("stop");
            }
            assert_eq!(rt.whereis("parent"), None);
        }
    });
}

/// Sends itself the next message until somebody says that it is enough, and counts.
struct Busy {
    turns: Arc<AtomicU64>,
}

impl Actor for Busy {
    type Args = Arc<AtomicU64>;
    type Msg = ();

    async fn init(turns: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.me().cast(())?;
        Ok(Busy { turns })
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        cx.me().cast(())?;
        Ok(())
    }
}

/// There are no priorities: who competes for a worker gets the same share, however busy the others are.
#[test]
fn proc_021_processes_share_a_worker_alike() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    let turns: [Arc<AtomicU64>; 3] = Default::default();
    rt.block_on(async {
        for turns in &turns {
            rt.start::<Busy>(turns.clone()).await.expect("start");
        }
        let total = || turns.iter().map(|turns| turns.load(Ordering::Relaxed)).sum::<u64>();
        until(&rt, || total() > 100_000).await;
    });
    let counts = turns.map(|turns| turns.load(Ordering::Relaxed));
    let total: u64 = counts.iter().sum();
    for count in counts {
        assert!((total / 6..total / 2).contains(&count), "{counts:?} are not alike");
    }
}

/// As above: so a question to one of many busy processes is answered.
#[test]
fn proc_022_a_question_to_one_of_many_busy_processes_is_answered() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    rt.block_on(async {
        let mut all = Vec::new();
        for _ in 0..50 {
            all.push(rt.start::<Busy>(Arc::default()).await.expect("start"));
        }
        for busy in &all {
            let relations = rt.relations(busy);
            let limit = rt.sleep(Duration::from_secs(2));
            match futures_util::future::select(relations, limit).await {
                futures_util::future::Either::Left((answer, _)) => drop(answer.expect("alive")),
                futures_util::future::Either::Right(_) => panic!("starved"),
            }
        }
    });
}
