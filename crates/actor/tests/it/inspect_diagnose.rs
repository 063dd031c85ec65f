//! What is found to be wrong, and what is not.

use crate::support;

use std::{sync::mpsc, time::Duration};

use support::{
    everywhere,
    puppet::{Events, Plain, Script, ask, hang, kill, later, note, now, plain, settled},
    simulated,
};
use whitebeam_actor::{
    Actor, ActorRef, ChildDown, Context, Diagnosis, ExitReason, Finding, Handle, Limits, Overflow,
    Reply, Runtime, SpawnOptions, StartInfo,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Restarts its child however it ends.
struct Patient {
    attempts: u32,
}

struct Restart;

impl Actor for Patient {
    /// How often its child crashes.
    type Args = u32;
    type Msg = Restart;

    async fn init(attempts: u32, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        let mut patient = Patient { attempts };
        patient.start(StartInfo::first(), cx);
        Ok(patient)
    }

    async fn handle(&mut self, Restart: Restart, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

impl Patient {
    fn start(&mut self, info: StartInfo, cx: &mut Context<Self>) {
        let fails = info.attempt <= self.attempts;
        let _ = cx.spawn_child::<Child>(fails, SpawnOptions::new(), Some(info), None);
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let mut info = StartInfo::first();
        self.attempts -= 1;
        for _ in 0..cx.start_info().attempt {
            info = info.after(down.reason.clone());
        }
        self.start(info, cx);
    }
}

/// Fails in its first message, which it sends itself.
struct Child;

impl Actor for Child {
    type Args = bool;
    type Msg = bool;

    async fn init(fails: bool, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        if fails {
            let _ = cx.me().cast(true);
        }
        Ok(Child)
    }

    async fn handle(&mut self, fails: bool, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if fails { Err(ExitReason::custom("no database")) } else { Ok(()) }
    }

    fn msg_name(_: &bool) -> Option<&'static str> {
        Some("Connect")
    }
}

fn only(diagnosis: &Diagnosis) -> &Finding {
    match &diagnosis.findings[..] {
        [finding] => finding,
        _ => panic!("{diagnosis}"),
    }
}

fn nothing(rt: &Handle) {
    let diagnosis = rt.diagnose();
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
}

/// A message whose handler takes so long, awaiting.
fn takes(time: Duration) -> support::puppet::Do<false> {
    later(move |_, cx| {
        let sleep = cx.runtime().sleep(time);
        Box::pin(async move {
            sleep.await;
            Ok(())
        })
    })
}

#[test]
fn a_suspended_handler_is_stuck_if_it_holds_others_up_for_long() {
    simulated(|rt| async move {
        let events = Events::new();
        let process = plain(&rt).await;
        let diagnosis = rt.diagnose();
        assert!(diagnosis.findings.is_empty() && diagnosis.since_first_look.is_zero());
        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        for _ in 0..3 {
            rt.sleep(5 * SECOND).await;
            nothing(&rt);
        }
        process.cast(note(&events, 1)).expect("it lives");
        rt.sleep(MS).await;
        nothing(&rt);
        rt.sleep(999 * MS).await;
        nothing(&rt);
        rt.sleep(MS).await;
        let diagnosis = rt.diagnose();
        let Finding::StuckProcess(stuck) = only(&diagnosis) else { panic!("{diagnosis}") };
        assert_eq!((stuck.at_least, stuck.worker), (1_000 * MS, None));
        assert_eq!((stuck.info.pid, stuck.info.mailbox_len), (process.pid(), 1));
        assert_eq!(only(&diagnosis).pids(), [process.pid()]);
        kill(&rt, process.pid()).await;
        nothing(&rt);
    });
}

#[test]
fn a_handler_that_is_polled_now_and_then_is_as_stuck() {
    simulated(|rt| async move {
        let process = plain(&rt).await;
        let for_ever = later(move |_, cx| {
            let rt = cx.runtime().clone();
            Box::pin(async move {
                loop {
                    rt.sleep(3 * MS).await;
                }
            })
        });
        process.cast(for_ever).expect("it lives");
        process.cast(takes(MS)).expect("it lives");
        for _ in 0..100 {
            let _ = rt.diagnose();
            rt.sleep(11 * MS).await;
        }
        let diagnosis = rt.diagnose();
        let Finding::StuckProcess(stuck) = only(&diagnosis) else { panic!("{diagnosis}") };
        assert!(stuck.at_least >= SECOND, "{stuck:?}");
        kill(&rt, process.pid()).await;
    });
}

#[test]
fn a_stuck_process_is_found_while_its_oldest_messages_are_dropped() {
    simulated(|rt| async move {
        let events = Events::new();
        let options = SpawnOptions::new().bounded(2, Overflow::DropOldest);
        let process = rt.with(options).start::<Plain>(Script::new()).await.expect("a puppet");
        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        for n in 0..20 {
            let _ = rt.diagnose();
            process.cast(note(&events, n)).expect("it lives");
            rt.sleep(100 * MS).await;
        }
        let diagnosis = rt.diagnose();
        let Finding::StuckProcess(stuck) = only(&diagnosis) else { panic!("{diagnosis}") };
        assert_eq!((stuck.info.pid, stuck.info.dropped), (process.pid(), 18));
        kill(&rt, process.pid()).await;
    });
}

#[test]
fn a_burst_that_has_just_come_is_no_finding() {
    simulated(|rt| async move {
        let process = plain(&rt).await;
        process.cast(takes(300 * MS)).expect("it lives");
        rt.sleep(MS).await;
        for _ in 0..20 {
            (0..150).for_each(|_| process.cast(takes(Duration::ZERO)).expect("it lives"));
            nothing(&rt);
            rt.sleep(MS).await;
        }
        kill(&rt, process.pid()).await;
    });
}

#[test]
fn a_slow_handler_is_not_stuck_while_it_goes_on() {
    simulated(|rt| async move {
        let process = plain(&rt).await;
        (0..50).for_each(|_| process.cast(takes(900 * MS)).expect("it lives"));
        for _ in 0..40 {
            rt.sleep(SECOND).await;
            nothing(&rt);
        }
        kill(&rt, process.pid()).await;
    });
}

#[test]
fn the_limit_for_handlers_is_obeyed() {
    simulated(|rt| async move {
        let events = Events::new();
        let process = plain(&rt).await;
        process.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        process.cast(note(&events, 1)).expect("it lives");
        nothing(&rt);
        rt.sleep(500 * MS).await;
        let found = |time| rt.diagnose_with(&Limits::new().handler(time)).findings.len();
        assert_eq!((found(501 * MS), found(500 * MS)), (0, 1));
        kill(&rt, process.pid()).await;
    });
}

/// By a thread that is no worker, since none goes on.
#[test]
fn a_handler_that_holds_its_worker_is_named_with_it() {
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("a runtime");
        let (unblock, block) = mpsc::channel::<()>();
        let (running, runs) = mpsc::channel();
        let (process, queued) = rt.block_on(async { (plain(&rt).await, plain(&rt).await) });
        process
            .cast(now(move |_| {
                let _ = running.send(());
                let _ = block.recv();
                Ok(())
            }))
            .expect("it lives");
        runs.recv().expect("it runs");
        // With one worker it is ready to run and has to wait: it is not stuck.
        queued.cast(now(|_| Ok(()))).expect("it lives");
        let limits = Limits::new().handler(20 * MS);
        rt.diagnose_with(&limits);
        let begun = rt.uptime();
        while rt.uptime() - begun < 25 * MS {
            std::thread::yield_now();
        }
        let diagnosis = rt.diagnose_with(&limits);
        let Finding::StuckProcess(stuck) = only(&diagnosis) else { panic!("{diagnosis}") };
        assert!(stuck.at_least >= 20 * MS);
        assert_eq!(stuck.info.pid, process.pid());
        assert!(stuck.worker.is_some_and(|worker| worker < workers));
        let text = diagnosis.to_string();
        assert!(text.contains("holds worker"), "{text}");
        drop(unblock);
        rt.block_on(async {
            settled(&process).await;
            settled(&queued).await;
        });
        let diagnosis = rt.diagnose_with(&limits);
        assert!(diagnosis.findings.is_empty(), "{diagnosis}");
    }
}

#[test]
fn a_mailbox_that_grows_is_found_and_a_burst_is_not() {
    simulated(|rt| async move {
        // A burst, worked off at a thousand a second.
        let burst = plain(&rt).await;
        (0..5_000).for_each(|_| burst.cast(takes(MS)).expect("it lives"));
        for _ in 0..5 {
            nothing(&rt);
            rt.sleep(500 * MS).await;
        }
        kill(&rt, burst.pid()).await;

        // 500 a second come, 100 are handled.
        let slow = plain(&rt).await;
        let mut diagnosis = rt.diagnose();
        for _ in 0..3 {
            assert!(diagnosis.findings.is_empty(), "too early: {diagnosis}");
            (0..50).for_each(|_| slow.cast(takes(10 * MS)).expect("it lives"));
            rt.sleep(100 * MS).await;
            diagnosis = rt.diagnose();
        }
        let Finding::GrowingMailbox(growing) = only(&diagnosis) else { panic!("{diagnosis}") };
        assert_eq!(growing.info.pid, slow.pid());
        assert!(growing.from < growing.to && growing.to == growing.info.mailbox_len);
        assert!(growing.to >= 100 && growing.handled > 0, "{growing:?}");
        // Of what takes ten times as long to be too much, it is none yet.
        let limits = Limits::new().backlog(100 * SECOND);
        assert!(rt.diagnose_with(&limits).findings.is_empty());
        kill(&rt, slow.pid()).await;
        nothing(&rt);
    });
}

#[test]
fn a_restart_storm_is_found_and_some_restarts_are_not() {
    everywhere(|rt| async move {
        let calm = rt.start::<Patient>(3).await.expect("a parent");
        while rt.crash_counts().total < 2 {
            rt.sleep(MS).await;
        }
        assert!(storms(&rt, &Limits::new()).is_empty());
        kill(&rt, calm.pid()).await;
        let parent = rt.start::<Patient>(12).await.expect("a parent");
        while storms(&rt, &Limits::new()).is_empty() {
            rt.sleep(MS).await;
        }
        let found = storms(&rt, &Limits::new());
        let Finding::RestartStorm(storm) = &found[0] else { panic!("{found:?}") };
        assert_eq!(storm.parent, parent.pid());
        assert!(storm.crashes >= 5 && storm.attempt >= 2, "{storm:?}");
        assert_eq!(storm.reason, "\"no database\"");
        assert!(storms(&rt, &Limits::new().restarts(100, SECOND)).is_empty());
        kill(&rt, parent.pid()).await;
    });
}

fn storms(rt: &Handle, limits: &Limits) -> Vec<Finding> {
    let findings = rt.diagnose_with(limits).findings;
    findings.into_iter().filter(|it| matches!(it, Finding::RestartStorm(_))).collect()
}

#[test]
fn a_worker_whose_queue_does_not_move_is_found() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    // Each turn takes 2 ms, and fifty are always ready.
    let burns = || {
        now(|cx: &mut Context<Plain>| {
            let begun = cx.runtime().uptime();
            while cx.runtime().uptime() - begun < 2 * MS {
                std::hint::spin_loop();
            }
            Ok(())
        })
    };
    let all: Vec<ActorRef<_>> =
        rt.block_on(async { (0..50).map(|_| rt.spawn::<Plain>(Script::new())).collect() });
    all.iter().for_each(|one| (0..200).for_each(|_| one.cast(burns()).expect("it lives")));
    let limits = Limits::new().queue(20 * MS).backlog(Duration::MAX).handler(10 * SECOND);
    let look = |limits: &Limits| {
        let begun = rt.uptime();
        while rt.uptime() - begun < 300 * MS {
            std::thread::yield_now();
        }
        rt.diagnose_with(limits)
    };
    rt.diagnose_with(&limits);
    // The first look may have been before the queue was full.
    look(&limits);
    let diagnosis = look(&limits);
    let Finding::BusyWorker(busy) = only(&diagnosis) else { panic!("{diagnosis}") };
    assert_eq!(busy.worker, 0);
    assert!(busy.queue_len > 10 && busy.busy >= 0.9 && busy.runs > 0, "{busy:?}");
    let diagnosis = look(&limits.queue(10 * SECOND));
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
    all.iter().for_each(|one| rt.exit(one, ExitReason::Kill));
}

/// Much is sent, called, spawned and ended: nothing of it is wrong.
#[test]
fn a_healthy_run_has_no_findings() {
    everywhere(|rt| async move {
        let _walker = rt.walker(5 * MS).expect("a thread");
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(plain(&rt).await);
        }
        for _ in 0..support::scaled(40, 10) {
            for one in &all {
                let job = now(|cx: &mut Context<Plain>| {
                    cx.spawn::<Plain>(Script::new().init_now(|cx| {
                        cx.stop(ExitReason::Normal);
                        Ok(())
                    }));
                    Ok(())
                });
                one.cast(job).expect("it lives");
                one.cast(takes(MS / 4)).expect("it lives");
            }
            for one in &all {
                ask(one, |_| ()).await;
            }
            rt.sleep(MS).await;
            nothing(&rt);
        }
    });
}

#[test]
fn a_diagnosis_is_a_block_of_lines() {
    struct Ledger;
    enum Msg {
        Settle,
        Get(Reply<u32>),
    }
    impl Actor for Ledger {
        type Args = ();
        type Msg = Msg;
        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Ledger)
        }
        async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
            match msg {
                Msg::Settle => std::future::pending().await,
                Msg::Get(reply) => reply.send(1),
            }
            Ok(())
        }
        fn msg_name(msg: &Msg) -> Option<&'static str> {
            Some(match msg {
                Msg::Settle => "Settle",
                Msg::Get(_) => "Get",
            })
        }
    }
    let rt = Runtime::simulated(3).expect("a runtime");
    rt.block_on(async {
        let options = SpawnOptions::new().name("ledger");
        let ledger = rt.with(options).start::<Ledger>(()).await.expect("a process");
        ledger.call(Msg::Get).await.expect("an answer");
        ledger.cast(Msg::Settle).expect("it lives");
        (0..2).for_each(|_| ledger.cast(Msg::Settle).expect("it lives"));
        let slow = rt.start::<Plain>(Script::new()).await.expect("a process");
        let patient = rt.start::<Patient>(8).await.expect("a parent");
        rt.sleep(10 * MS).await;
        assert_eq!(rt.diagnose().to_string().lines().next(), Some("diagnosis at 0.010 s, with looks over 0.000 s: 1 finding"));
        for _ in 0..20 {
            (0..20).for_each(|_| slow.cast(takes(90 * MS)).expect("it lives"));
            rt.sleep(100 * MS).await;
            rt.diagnose();
        }
        let mut text = rt.diagnose().to_string();
        for (pid, name) in
            [(ledger.pid(), "<ledger>"), (slow.pid(), "<slow>"), (patient.pid(), "<patient>")]
        {
            text = text.replace(&pid.to_string(), name);
        }
        assert_eq!(
            text,
            "diagnosis at 2.010 s, with looks over 2.000 s: 3 findings
stuck process: <ledger> \"ledger\" Ledger
    in Settle for at least 2.000 s, suspended at an await; 2 unread, 2 taken
    advice: give what it awaits a time limit, or await it elsewhere and have the outcome sent as a message
growing mailbox: <slow> Puppet<false>
    from 18 to 377 unread within 1.900 s, in which 21 were handled; the oldest waits for 1.500 s at least
    advice: have senders wait for replies, bound the mailbox, or spread the work over more processes
restart storm: below <patient> Patient
    6 crashes of restarted children within 2.010 s, up to start 2; the last Child: \"no database\"
    advice: see to the cause in the crash reports: a restart does not cure what the next start meets again
"
        );
    });
}
