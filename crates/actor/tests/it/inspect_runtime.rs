//! What inspection says of the rest of a runtime: held workers and spares, timers, blocking work, attached work, what is
//! left unread; and that what processes have of their own (budgets, watermarks, lanes) holds while they are watched.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use parking_lot::Mutex;
use support::{
    built, everywhere, expect_panics,
    puppet::{Events, Plain, Script, ask, because, hang, kill, note, plain},
    simulated, threaded,
};
use whitebeam_actor::{
    Actor, Answered, Context, ExitReason, Handle, Info, Level, Mailbox, PriorityRef, Reply,
    Runtime, RuntimeEvent, SpawnOptions, oneshot,
};

const MS: Duration = Duration::from_millis(1);
/// How long a handler holds its worker before it gives up, so that a failed test comes back.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any of these tests.
const NEVER: Duration = Duration::from_secs(3_600);

/// An actor that names its messages.
struct Clerk;

enum Ask {
    /// Blocks its thread until the sender is used or gone.
    Block(mpsc::Receiver<()>),
    /// Suspends until it is answered.
    Wait(Answered<()>),
    Lane(Reply<PriorityRef<Ask>>),
    Ping(Reply<()>),
    Note,
    Urgent,
}

impl Actor for Clerk {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Clerk)
    }

    async fn handle(&mut self, msg: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Ask::Block(until) => _ = until.recv_timeout(PATIENCE),
            Ask::Wait(until) => _ = until.await,
            Ask::Lane(reply) => reply.send(cx.priority_ref()),
            Ask::Ping(reply) => reply.send(()),
            Ask::Note | Ask::Urgent => {}
        }
        Ok(())
    }

    fn msg_name(msg: &Ask) -> Option<&'static str> {
        Some(match msg {
            Ask::Block(_) => "Block",
            Ask::Wait(_) => "Wait",
            Ask::Lane(_) => "Lane",
            Ask::Ping(_) => "Ping",
            Ask::Note => "Note",
            Ask::Urgent => "Urgent",
        })
    }
}

fn info(rt: &Handle, of: impl whitebeam_actor::Target) -> Info {
    rt.info(of).expect("it lives")
}

/// Waits until it is so, on a thread that is no worker.
fn until<T>(look: impl Fn() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_held_worker_and_who_stands_in_for_it_are_seen() {
    let (tell, told) = mpsc::channel();
    let rt = Runtime::builder()
        .workers(1)
        .spare_workers(1)
        .stuck_after(20 * MS)
        .on_event(move |event| _ = tell.send(event.clone()))
        .build()
        .expect("a runtime");
    let clerk = rt.block_on(rt.start::<Clerk>(())).expect("a clerk");
    let before = rt.runtime_info();
    assert_eq!(before.workers.len(), 2);
    let spares: Vec<_> = before.workers.iter().map(|worker| worker.is_spare).collect();
    assert_eq!(spares, [false, true]);
    assert!(before.workers.iter().all(|worker| worker.stands_in_for.is_none()));

    let (release, block) = mpsc::channel();
    clerk.cast(Ask::Block(block)).expect("it lives");
    let during = until(|| {
        let info = rt.runtime_info();
        let is_so = info.workers[0].held_for.is_some_and(|held| held >= 5 * MS);
        (is_so && info.workers[1].stands_in_for == Some(0)).then_some(info)
    });
    assert!(during.workers[0].held_for <= Some(during.uptime));
    let text = during.to_string();
    assert!(text.contains("worker 0: ") && text.contains(", held for 0."), "{text}");
    assert!(text.contains("spare 1: ") && text.contains(", stands in for 0\n"), "{text}");
    let stuck = told.recv_timeout(PATIENCE).expect("an event");
    let RuntimeEvent::HandlerStuck(stuck) = stuck else { panic!("{stuck:?}") };
    assert_eq!((stuck.pid, stuck.message_name), (Some(clerk.pid()), Some("Block")));
    assert!(stuck.to_string().ends_with(" with Block"), "{stuck}");
    // The spare is a worker: the rest goes on.
    assert!(rt.block_on(rt.start::<Clerk>(())).is_ok());

    release.send(()).expect("it waits");
    rt.block_on(async { clerk.call(Ask::Ping).await }).expect("an answer");
    until(|| {
        let info = rt.runtime_info();
        let is_over = info.workers[0].held_for.is_none() && info.workers[1].stands_in_for.is_none();
        is_over.then_some(())
    });
    let returned = told.recv_timeout(PATIENCE).expect("an event");
    let RuntimeEvent::HandlerReturned(returned) = returned else { panic!("{returned:?}") };
    assert_eq!(returned.message_name, Some("Block"));
}

#[test]
fn timers_blocking_work_events_and_what_is_left_unread_are_counted() {
    let events = Events::new();
    let told = Arc::new(AtomicU32::new(0));
    let count = told.clone();
    let rt = Runtime::builder()
        .workers(1)
        .blocking_threads(1)
        .quiet_crashes()
        .on_event(move |_| _ = count.fetch_add(1, Relaxed))
        .build()
        .expect("a runtime");
    rt.block_on(async {
        let process = plain(&rt).await;
        let before = rt.runtime_info();
        assert_eq!((before.timers, before.blocking.threads, before.events.told), (0, 0, 0));
        let said = events.clone();
        ask(&process, move |cx| {
            (0..3).for_each(|n| _ = cx.send_after(NEVER, note(&said, n)));
        })
        .await;
        let (release, block) = mpsc::channel::<()>();
        let (begun, begins) = oneshot();
        let busy = rt.spawn_blocking(move || {
            begun.send(());
            _ = block.recv_timeout(PATIENCE);
        });
        begins.await.expect("it begins");
        let waits = rt.spawn_blocking(|| ());
        let during = rt.runtime_info();
        assert_eq!(during.timers, 3);
        let pool = (during.blocking.threads, during.blocking.busy, during.blocking.queued);
        assert_eq!(pool, (1, 1, 1));
        drop(release);
        busy.await;
        waits.await;

        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        (0..2).for_each(|n| process.cast(note(&events, n)).expect("it lives"));
        kill(&rt, process.pid()).await;
        let fails = rt.spawn::<Plain>(Script::new().init_now(|_| Err(because("told"))));
        rt.down(&fails).await;
        while rt.runtime_info().events.told == 0 || rt.runtime_info().unread.dropped < 2 {
            rt.sleep(MS).await;
        }
        let after = rt.runtime_info();
        assert_eq!((after.timers, after.unread.dropped, after.crashed), (0, 2, 1));
        assert_eq!((after.events.told, told.load(Relaxed)), (1, 1));
        assert_eq!((after.blocking.done, after.blocking.busy), (2, 0));
        let text = after.to_string();
        assert!(text.contains("0 timers, 1 events"), "{text}");
        assert!(text.contains("0 busy, 0 queued; left unread: 0 answered, 2 dropped"), "{text}");
    });
}

#[test]
fn attached_work_is_counted() {
    // A simulation has no thread that a closure could hold up.
    threaded(|rt| async move {
        let events = Events::new();
        let process = plain(&rt).await;
        assert_eq!(info(&rt, &process).attached, 0);
        let (reply, answer) = oneshot::<()>();
        let (release, block) = mpsc::channel::<()>();
        let said = events.clone();
        let stream = ask(&process, move |cx| {
            let (first, second) = (said.clone(), said.clone());
            cx.pipe(async { drop(answer.await) }, move |()| note(&first, 1));
            let stream =
                cx.attach(futures_util::stream::pending::<()>(), move |()| note(&second, 2));
            let id = stream.id();
            cx.blocking(move || _ = block.recv_timeout(PATIENCE), move |()| note(&said, 3));
            id
        })
        .await;
        let most = info(&rt, &process);
        assert_eq!(most.attached, 3);
        assert!(ask(&process, move |cx| cx.detach(stream)).await);
        let less = info(&rt, &process);
        assert_eq!(less.attached, 2);
        assert!(less.memory < most.memory);
        reply.send(());
        assert_eq!(events.note().await, 1);
        assert_eq!(info(&rt, &process).attached, 1);
        drop(release);
        assert_eq!(events.note().await, 3);
        assert_eq!(info(&rt, &process).attached, 0);
    });
}

#[test]
fn each_process_has_an_uptime_and_so_has_its_crash() {
    simulated(|rt| async move {
        for level in [Level::Counts, Level::Times] {
            rt.set_level(level);
            let before = plain(&rt).await;
            rt.sleep(30 * MS).await;
            assert_eq!(info(&rt, &before).uptime, Some(30 * MS));
            before.cast(support::puppet::now(|_| Err(because("told")))).expect("it lives");
            rt.down(&before).await;
            let report = rt.crashes().pop().expect("a report");
            assert_eq!((report.pid, report.uptime), (before.pid(), Some(30 * MS)));
            let text = report.to_string();
            assert!(text.contains("after the runtime's start, up for 0.030 s\n"), "{text}");
        }
        let body = rt.spawn_fn(|mut mailbox: Mailbox<Reply<()>>| async move {
            loop {
                mailbox.recv().await.send(());
            }
        });
        assert_eq!(info(&rt, &body).uptime, None, "it has not begun");
        body.call(|reply| reply).await.expect("an answer");
        rt.sleep(7 * MS).await;
        assert_eq!(info(&rt, &body).uptime, Some(7 * MS));
    });
}

#[test]
fn an_uptime_is_not_that_of_the_worker_that_has_rested() {
    threaded(|rt| async move {
        plain(&rt).await;
        // Its workers rest, and know an old time.
        #[expect(clippy::disallowed_methods, reason = "a timer would wake one of them")]
        std::thread::sleep(200 * MS);
        let begun = rt.uptime();
        let late = plain(&rt).await;
        let since = rt.uptime() - begun;
        let uptime = info(&rt, &late).uptime.expect("it has begun");
        assert!(uptime <= since + 50 * MS, "{uptime:?} of {since:?}");
    });
}

/// Counts its messages.
struct Counts(Arc<AtomicU32>);

impl Actor for Counts {
    type Args = Arc<AtomicU32>;
    type Msg = Option<Reply<()>>;

    async fn init(counts: Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counts(counts))
    }

    async fn handle(&mut self, msg: Self::Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            None => _ = self.0.fetch_add(1, Relaxed),
            Some(reply) => reply.send(()),
        }
        Ok(())
    }
}

/// How many messages it has handled of a hundred when the one that is queued behind it has its turn.
async fn handled_in_a_turn(
    rt: &Handle,
    counts: &Arc<AtomicU32>,
    busy: &whitebeam_actor::ActorRef<Option<Reply<()>>>,
) -> u32 {
    counts.store(0, Relaxed);
    let counts = counts.clone();
    let (tell, told) = oneshot();
    let next = rt.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
        mailbox.recv().await;
        tell.send(counts.load(Relaxed));
        Ok(())
    });
    // It waits by now.
    rt.relations(&next).await;
    let to = busy.clone();
    rt.spawn_fn(move |_: Mailbox<()>| async move {
        // The last one that is made runnable runs first.
        next.cast(())?;
        for _ in 0..100 {
            to.cast(None)?;
        }
        Ok(())
    });
    let seen = told.await.expect("the one behind it");
    busy.call(Some).await.expect("an answer");
    seen
}

/// All three are behind one bit of the cell.
#[test]
fn a_timed_process_keeps_its_budget_and_its_watermark() {
    let levels = Arc::new(Mutex::new(Vec::new()));
    let told = levels.clone();
    let rt = Runtime::builder()
        .workers(1)
        .slice(NEVER)
        .on_event(move |event| match event {
            RuntimeEvent::MailboxHigh(_) => told.lock().push("high"),
            RuntimeEvent::MailboxLow(_) => told.lock().push("low"),
            _ => {}
        })
        .build()
        .expect("a runtime");
    rt.block_on(async {
        let counts = Arc::new(AtomicU32::new(0));
        let options = SpawnOptions::new().budget(4).watermark(20, 10);
        let busy = rt.with(options).start::<Counts>(counts.clone()).await.expect("it starts");
        let mut was_on = false;
        for level in [Level::Counts, Level::Times, Level::Full, Level::Counts] {
            rt.set_level(level);
            // The turn in which it notices.
            busy.call(Some).await.expect("an answer");
            assert_eq!(handled_in_a_turn(&rt, &counts, &busy).await, 4, "{level:?}");
            while levels.lock().len() < 2 {
                rt.sleep(MS).await;
            }
            assert_eq!(std::mem::take(&mut *levels.lock()), ["high", "low"], "{level:?}");
            was_on |= level > Level::Counts;
            assert_eq!(info(&rt, &busy).busy.is_some(), was_on, "time that was taken stays");
        }
        // Without a budget or a watermark of its own nothing but the level sends its turns that way.
        let other = rt.start::<Counts>(counts.clone()).await.expect("it starts");
        for level in [Level::Times, Level::Counts] {
            rt.set_level(level);
            other.call(Some).await.expect("an answer");
            assert_eq!(handled_in_a_turn(&rt, &counts, &other).await, 100, "{level:?}");
        }
    });
}

#[test]
fn what_comes_by_priority_is_named_in_the_order_of_its_handling() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().priority_lane().keep_last(4);
        let clerk = rt.with(options).start::<Clerk>(()).await.expect("a clerk");
        let lane = clerk.call(Ask::Lane).await.expect("a lane");
        let (reply, answer) = oneshot();
        clerk.cast(Ask::Wait(answer)).expect("it lives");
        while info(&rt, &clerk).message != Some("Wait") {
            rt.sleep(MS).await;
        }
        clerk.cast(Ask::Note).expect("it lives");
        let (ping, answer) = oneshot();
        clerk.cast(Ask::Ping(ping)).expect("it lives");
        lane.cast(Ask::Urgent).expect("it lives");
        reply.send(());
        answer.await.expect("an answer");
        assert_eq!(info(&rt, &clerk).last_messages, ["Wait", "Urgent", "Note", "Ping"]);
    });
}

/// A crash in work beside the mailbox is none of the message's that is in hand.
#[test]
fn a_message_in_hand_is_not_blamed_for_attached_work() {
    built(
        |builder| builder.quiet_crashes(),
        |rt| async move {
            expect_panics();
            let events = Events::new();
            let process = plain(&rt).await;
            let (reply, answer) = oneshot::<()>();
            let said = events.clone();
            ask(&process, move |cx| {
                let fails = async move {
                    let _ = answer.await;
                    panic!("{}", support::EXPECTED)
                };
                cx.pipe(fails, move |()| note(&said, 1));
            })
            .await;
            process.cast(hang(&events, ())).expect("it lives");
            events.hanging().await;
            reply.send(());
            rt.down(&process).await;
            let report = rt.crashes().pop().expect("a report");
            assert_eq!((report.pid, report.message), (process.pid(), None));
            assert_eq!(report.during, whitebeam_actor::During::Work);
        },
    );
}
