//! What can be seen of processes from outside: snapshot, top, tree, names of messages, counters.

use crate::support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
    time::Duration,
};

use support::{
    everywhere, expect_panics,
    puppet::{
        Events, Plain, Script, Tidy, ask, down, hang, kill, later, note, now, plain, settled, trap,
    },
    threaded, yield_now,
};
use whitebeam_actor::{
    Actor, ActorRef, By, CallError, Context, ExitReason, Handle, Info, Level, Mailbox, Pid, Reply,
    Runtime, SpawnOptions, StartInfo, Status, TreeNode,
};

const MS: Duration = Duration::from_millis(1);

/// An actor that names its messages.
struct Clerk;

enum Ask {
    /// Blocks its thread until the sender is gone.
    Block(mpsc::Receiver<()>),
    /// Suspends until it is answered.
    Wait(whitebeam_actor::Answered<()>),
    Ping(Reply<()>),
    /// Has no name.
    Secret(Reply<()>),
    /// Its name panics.
    Cursed(Reply<()>),
    Fail(Reply<()>),
    /// Fails behind an await.
    FailLater(Reply<()>),
}

impl Actor for Clerk {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Clerk)
    }

    async fn handle(&mut self, msg: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Ask::Block(until) => _ = until.recv(),
            Ask::Wait(until) => _ = until.await,
            Ask::Ping(reply) | Ask::Secret(reply) | Ask::Cursed(reply) => reply.send(()),
            Ask::Fail(_reply) => return Err(ExitReason::custom("failed")),
            Ask::FailLater(_reply) => {
                cx.runtime().sleep(MS).await;
                panic!("{}", support::EXPECTED)
            }
        }
        Ok(())
    }

    fn msg_name(msg: &Ask) -> Option<&'static str> {
        Some(match msg {
            Ask::Block(_) => "Block",
            Ask::Wait(_) => "Wait",
            Ask::Ping(_) => "Ping",
            Ask::Secret(_) => return None,
            Ask::Cursed(_) => panic!("{}", support::EXPECTED),
            Ask::Fail(_) => "Fail",
            Ask::FailLater(_) => "FailLater",
        })
    }
}

async fn clerk(rt: &Handle) -> ActorRef<Ask> {
    rt.start::<Clerk>(()).await.expect("a clerk")
}

fn info(rt: &Handle, of: impl whitebeam_actor::Target) -> Info {
    rt.info(of).expect("it lives")
}

/// Waits until what is seen of a process is so.
async fn until(rt: &Handle, of: Pid, is_so: impl Fn(&Info) -> bool) -> Info {
    loop {
        let info = info(rt, of);
        if is_so(&info) {
            return info;
        }
        rt.sleep(MS).await;
    }
}

#[test]
fn numbers_are_exact_when_nothing_is_in_flight() {
    everywhere(|rt| async move {
        let events = Events::new();
        let options = SpawnOptions::new().name("the one").label("of many");
        let one = rt.with(options).start::<Plain>(Script::new()).await.expect("a process");
        let others = [plain(&rt).await, plain(&rt).await];
        let (a, b, said) = (others[0].clone(), others[1].clone(), events.clone());
        let (child, monitor) = ask(&one, move |cx| {
            trap(cx, &said);
            cx.link(&a);
            cx.link(&b);
            let monitor = cx.monitor(&a, down(&said, 1));
            cx.monitor(&a, down(&said, 2));
            cx.monitor(&b, down(&said, 3));
            (cx.spawn_monitor::<Plain>(Script::new(), down(&said, 4)).0, monitor)
        })
        .await;
        settled(&child).await;
        let seen = until(&rt, one.pid(), |info| info.status == Status::Waiting).await;
        assert_eq!((seen.links, seen.monitors, seen.monitored_by), (2, 4, 0));
        assert_eq!((seen.handled, seen.mailbox_len, seen.restarts), (1, 0, 0));
        assert_eq!(seen.name.as_ref().and_then(|name| name.as_str()), Some("the one"));
        assert_eq!(seen.label.as_ref().and_then(|label| label.as_str()), Some("of many"));
        assert_eq!((seen.message, seen.in_hand_for, seen.busy), (None, None, None));
        assert_eq!((seen.oldest_message, seen.is_suspended), (None, false));
        settled(&others[0]).await;
        let other = info(&rt, &others[0]);
        assert_eq!((other.links, other.monitors, other.monitored_by), (1, 0, 2));
        assert_eq!(info(&rt, &child).monitored_by, 1);
        assert_eq!(info(&rt, &child).parent, Some(one.pid()));

        // What is taken back or ends is counted off on both sides.
        let b = others[1].clone();
        ask(&one, move |cx| {
            assert!(cx.demonitor(monitor));
            cx.unlink(&b);
        })
        .await;
        settled(&others[1]).await;
        settled(&others[0]).await;
        settled(&one).await;
        assert_eq!((info(&rt, &one).links, info(&rt, &one).monitors), (1, 3));
        assert_eq!((info(&rt, &others[1]).links, info(&rt, &others[1]).monitored_by), (0, 1));
        kill(&rt, others[0].pid()).await;
        events.exit().await;
        assert_eq!(events.down().await.0, 2);
        settled(&one).await;
        assert_eq!((info(&rt, &one).links, info(&rt, &one).monitors), (0, 2));
        kill(&rt, one.pid()).await;
        // The killer's DOWN and the taking back of a monitor go to different processes: neither is first.
        until(&rt, others[1].pid(), |info| info.monitored_by == 0).await;
        assert!(rt.info(&one).is_none(), "it has ended");
    });
}

#[test]
fn a_restart_is_seen() {
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().tell_children(&events);
        let parent = rt.start::<Plain>(script).await.expect("a parent");
        let again = StartInfo::first().after(ExitReason::Normal).after(ExitReason::Normal);
        let child = ask(&parent, move |cx| {
            let options = SpawnOptions::new();
            let spawned = cx.spawn_child::<Plain>(Script::new(), options, Some(again), None);
            spawned.expect("a child").1
        })
        .await;
        settled(&child).await;
        assert_eq!((info(&rt, &child).restarts, info(&rt, &parent).restarts), (2, 0));
        assert_eq!(rt.top(By::Restarts, 1)[0].pid, child.pid());
    });
}

#[test]
fn what_a_process_is_about_is_seen() {
    everywhere(|rt| async move {
        let events = Events::new();
        let starting = rt.spawn::<Tidy>(Script::new().init(|_| Box::pin(std::future::pending())));
        until(&rt, starting.pid(), |info| info.status == Status::Starting && info.is_suspended)
            .await;
        kill(&rt, starting.pid()).await;

        let waits = plain(&rt).await;
        until(&rt, waits.pid(), |info| info.status == Status::Waiting).await;
        let running = ask(&waits, |cx| cx.runtime().info(cx.pid()).expect("it runs").status).await;
        assert_eq!(running, Status::Running);
        waits.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        let seen = until(&rt, waits.pid(), |info| info.status == Status::Suspended).await;
        assert!(seen.is_suspended);

        let script = Script::new().terminate(|_, _| Box::pin(std::future::pending()));
        let ends = rt.start::<Tidy>(script).await.expect("a process");
        rt.exit(&ends, ExitReason::Shutdown);
        until(&rt, ends.pid(), |info| info.status == Status::Ending).await;
        kill(&rt, ends.pid()).await;

        // In the process form a body that receives waits, and one that awaits something else is suspended.
        let receives = rt.spawn_fn(async |mut mailbox: Mailbox<Reply<()>>| {
            mailbox.recv().await.send(());
            std::future::pending().await
        });
        until(&rt, receives.pid(), |info| info.status == Status::Waiting).await;
        let (reply, _answer) = whitebeam_actor::oneshot();
        receives.cast(reply).expect("it lives");
        until(&rt, receives.pid(), |info| info.status == Status::Suspended).await;
    });
}

#[test]
fn a_tree_has_each_process_once_below_who_started_it() {
    everywhere(|rt| async move {
        let events = Events::new();
        // A chain of plain processes, with a leaf each, and a parent that supervises.
        let mut chain = vec![plain(&rt).await];
        let mut parents = BTreeMap::from([(chain[0].pid(), None)]);
        for _ in 0..4 {
            let last = chain.last().expect("the first").clone();
            let (next, leaf) = ask(&last, |cx| {
                let next = cx.spawn::<Plain>(Script::new());
                (next, cx.spawn_link::<Plain>(Script::new()))
            })
            .await;
            parents.insert(next.pid(), Some(last.pid()));
            parents.insert(leaf.pid(), Some(last.pid()));
            chain.push(next);
        }
        let script = Script::new().tell_children(&events);
        let supervisor = rt.start::<Plain>(script).await.expect("a parent");
        parents.insert(supervisor.pid(), None);
        for _ in 0..3 {
            let child = ask(&supervisor, |cx| {
                let spawned =
                    cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None);
                spawned.expect("a child").1
            })
            .await;
            parents.insert(child.pid(), Some(supervisor.pid()));
        }

        let tree = rt.tree();
        let seen: BTreeMap<_, _> =
            tree.nodes.iter().map(|node| (node.info.pid, node.info.parent)).collect();
        assert_eq!((seen.len(), &seen), (tree.nodes.len(), &parents));
        let mut path: Vec<Pid> = Vec::new();
        for TreeNode { depth, info, is_orphan, .. } in &tree.nodes {
            path.truncate(*depth);
            assert_eq!((path.last().copied(), *is_orphan), (info.parent, false));
            path.push(info.pid);
        }
        let children: Vec<_> = tree.children(supervisor.pid()).map(|node| node.info.pid).collect();
        assert_eq!(children.len(), 3);
        assert!(children.is_sorted());
        assert_eq!(tree.get(chain[4].pid()).expect("it lives").depth, 4);

        // Orphans come to the top.
        kill(&rt, chain[3].pid()).await;
        // What was linked to it ends as well, a moment later.
        while rt.processes().len() > parents.len() - 2 {
            rt.sleep(MS).await;
        }
        let tree = rt.tree();
        let orphan = tree.get(chain[4].pid()).expect("it lives on");
        assert_eq!((orphan.depth, orphan.is_orphan), (0, true));
        assert_eq!(tree.to_string().lines().filter(|line| line.contains("orphan of")).count(), 1);
    });
}

#[test]
fn under_churn_a_tree_has_those_that_stay_exactly_once() {
    everywhere(|rt| async move {
        let mut stay = BTreeSet::new();
        let mut parents = Vec::new();
        for _ in 0..4 {
            let parent = plain(&rt).await;
            stay.insert(parent.pid());
            for _ in 0..8 {
                stay.insert(ask(&parent, |cx| cx.spawn::<Plain>(Script::new())).await.pid());
            }
            parents.push(parent);
        }
        let rounds = support::scaled(200, 20);
        for round in 0..rounds {
            // Each starts some that end at once, or when they are told.
            for parent in &parents {
                let job = now(|cx: &mut Context<Plain>| {
                    for n in 0..8_u32 {
                        let child = cx.spawn::<Plain>(Script::new());
                        if n % 2 == 0 {
                            cx.exit(&child, ExitReason::Kill);
                        } else {
                            let _ = child.cast(now(|cx| {
                                cx.stop(ExitReason::Normal);
                                Ok(())
                            }));
                        }
                    }
                    Ok(())
                });
                parent.cast(job).expect("it lives");
            }
            let tree = rt.tree();
            let met: BTreeSet<_> = tree.nodes.iter().map(|node| node.info.pid).collect();
            assert_eq!(met.len(), tree.nodes.len(), "one is there twice in round {round}");
            assert!(stay.is_subset(&met), "one is missing in round {round}");
            assert!(
                tree.nodes.iter().all(|node| !node.is_orphan || !stay.contains(&node.info.pid))
            );
            yield_now().await;
        }
        for parent in &parents {
            settled(parent).await;
        }
        let snapshot = loop {
            let snapshot = rt.snapshot();
            if snapshot.processes.len() == stay.len() {
                break snapshot;
            }
            rt.sleep(MS).await;
        };
        assert_eq!(snapshot.runtime.spawned, (stay.len() + 4 * 8 * rounds) as u64);
        assert_eq!(snapshot.runtime.crashed, 0);
    });
}

#[test]
fn top_gives_the_most_in_order() {
    everywhere(|rt| async move {
        let events = Events::new();
        let mut all = Vec::new();
        for n in 0..20_u64 {
            let process = plain(&rt).await;
            process.cast(hang(&events, ())).expect("it lives");
            events.hanging().await;
            // Twos of a kind.
            for _ in 0..n / 2 {
                process.cast(note(&events, 0)).expect("it lives");
            }
            all.push(process.pid());
        }
        let pids = |infos: Vec<Info>| infos.into_iter().map(|info| info.pid).collect::<Vec<_>>();
        let most = rt.top(By::MailboxLen, 5);
        assert_eq!(most.iter().map(|info| info.mailbox_len).collect::<Vec<_>>(), [9, 9, 8, 8, 7]);
        // Of those with the same the lower pid comes first, and is kept.
        let (mut nines, mut sevens) = ([all[18], all[19]], [all[14], all[15]]);
        nines.sort();
        sevens.sort();
        let most = pids(most);
        assert_eq!((&most[..2], most[4]), (&nines[..], sevens[0]));
        assert_eq!(pids(rt.top(By::HighWater, 2)), nines);
        assert_eq!(rt.top(By::MailboxLen, 100).len(), 20);
        assert!(rt.top(By::MailboxLen, 0).is_empty());

        let linked = [all[3], all[4]];
        let one = plain(&rt).await;
        ask(&one, move |cx| linked.iter().for_each(|other| cx.link(other))).await;
        ask(&one, |_| ()).await;
        assert_eq!(pids(rt.top(By::Relations, 1)), [one.pid()]);
        assert_eq!(pids(rt.top(By::Handled, 1)), [one.pid()]);
        let options = SpawnOptions::new().keep_last(100);
        let heavy = rt.with(options).start::<Plain>(Script::new()).await.expect("a process");
        for _ in 0..100 {
            ask(&heavy, |_| ()).await;
        }
        assert_eq!(pids(rt.top(By::Memory, 1)), [heavy.pid()]);
        all.into_iter().for_each(|pid| rt.exit(pid, ExitReason::Kill));
    });
}

#[test]
fn a_stuck_process_can_be_read() {
    threaded(|rt| async move {
        let options = SpawnOptions::new().keep_last(2);
        for is_kept in [false, true] {
            let options = if is_kept { options.clone() } else { SpawnOptions::new() };
            let clerk = rt.with(options).start::<Clerk>(()).await.expect("a clerk");
            clerk.call(Ask::Secret).await.expect("an answer");
            clerk.call(Ask::Ping).await.expect("an answer");
            let (unblock, block) = mpsc::channel();
            clerk.cast(Ask::Block(block)).expect("it lives");
            let (reply, _answer) = whitebeam_actor::oneshot();
            // This thread is no worker: it goes on when none does.
            while info(&rt, &clerk).message != Some("Block") {
                std::hint::spin_loop();
            }
            clerk.cast(Ask::Ping(reply)).expect("it lives");
            let seen = info(&rt, &clerk);
            assert_eq!((seen.status, seen.is_suspended), (Status::Running, false));
            assert_eq!((seen.handled, seen.mailbox_len), (3, 1));
            let last = if is_kept { vec!["Ping", "Block"] } else { Vec::new() };
            assert_eq!(seen.last_messages, last);
            drop(unblock);
            clerk.call(Ask::Ping).await.expect("an answer");
            until(&rt, clerk.pid(), |info| info.status == Status::Waiting).await;
            assert_eq!(info(&rt, &clerk).message, None, "it has nothing in hand");
        }
    });
}

#[test]
fn a_suspended_message_is_named() {
    everywhere(|rt| async move {
        for level in [Level::Counts, Level::Full] {
            rt.set_level(level);
            let clerk = clerk(&rt).await;
            for _ in 0..2 {
                let (reply, answer) = whitebeam_actor::oneshot();
                clerk.cast(Ask::Wait(answer)).expect("it lives");
                let seen = until(&rt, clerk.pid(), |info| info.status == Status::Suspended).await;
                assert_eq!(seen.message, Some("Wait"));
                assert_eq!(seen.in_hand_for.is_some(), level == Level::Full);
                reply.send(());
                clerk.call(Ask::Secret).await.expect("an answer");
                let seen = until(&rt, clerk.pid(), |info| info.status == Status::Waiting).await;
                assert_eq!((seen.message, seen.in_hand_for), (None, None));
            }
        }
    });
}

#[test]
fn a_crash_says_which_message_was_in_hand() {
    everywhere(|rt| async move {
        expect_panics();
        // The process of before is at the same place: nothing of it may be said of the next.
        for (ask, name) in [
            (Ask::Fail as fn(Reply<()>) -> Ask, Some("Fail")),
            (Ask::FailLater, Some("FailLater")),
            (Ask::Cursed, None),
        ] {
            let clerk = clerk(&rt).await;
            clerk.call(Ask::Ping).await.expect("an answer");
            let error = clerk.call(ask).await.expect_err("it crashes");
            assert!(matches!(error, CallError::Exit(_)), "the request is not lost: {error:?}");
            let reports = rt.crashes();
            let report = reports.last().expect("a report");
            assert_eq!((report.pid, report.message), (clerk.pid(), name));
            let text = report.to_string();
            let told = match name {
                Some(name) => format!("    in: message {name}, asked by no process\n"),
                None => {
                    "    in: a message of type it::inspect::Ask, asked by no process\n".to_owned()
                }
            };
            assert!(text.contains(&told), "{text}");
        }
        let silent = plain(&rt).await;
        silent.cast(now(|_| panic!("{}", support::EXPECTED))).expect("it lives");
        rt.down(&silent).await;
        assert_eq!(rt.crashes().last().expect("a report").message, None);
    });
}

#[test]
fn what_a_runtime_counts() {
    everywhere(|rt| async move {
        let before = rt.runtime_info();
        assert_eq!((before.spawned, before.crashed, before.level), (0, 0, Level::Counts));
        let spawner = plain(&rt).await;
        for _ in 0..10 {
            settled(&ask(&spawner, |cx| cx.spawn::<Plain>(Script::new())).await).await;
        }
        // An address of nobody is no process.
        let gone = plain(&rt).await;
        kill(&rt, gone.pid()).await;
        spawner.cast(now(|_| Err(ExitReason::custom("told to")))).expect("it lives");
        rt.down(&spawner).await;
        let after = rt.runtime_info();
        assert_eq!((after.spawned, after.crashed), (12, 1));
        assert_eq!(after.workers.len(), if rt.metrics().is_empty() { 0 } else { rt.workers() });
        assert!(after.to_string().contains("12 processes made, 1 crashed"));
        assert_eq!(rt.snapshot().processes.len(), 10);
    });
}

#[test]
fn one_runtime_inside_another_counts_its_own() {
    threaded(|outer| async move {
        let process = plain(&outer).await;
        let inside = ask(&process, |cx| {
            let made = cx.runtime().runtime_info().spawned;
            let inner = Runtime::simulated(1).expect("a runtime");
            let counted = inner.block_on(async {
                for _ in 0..5 {
                    plain(&inner).await;
                }
                (inner.runtime_info().spawned, cx.runtime().runtime_info().spawned)
            });
            drop(inner);
            (made, counted, cx.runtime().runtime_info().spawned)
        })
        .await;
        assert_eq!(inside, (1, (5, 1), 1));
        settled(&ask(&process, |cx| cx.spawn::<Plain>(Script::new())).await).await;
        assert_eq!(outer.runtime_info().spawned, 2);
    });
}

/// A walk of a table with as many places that are free again as there are processes.
#[test]
fn snapshot_and_tree_of_many() {
    threaded(|rt| async move {
        let many = support::scaled(100_000, 1_000);
        let spawner = plain(&rt).await;
        let (kept, gone) = ask(&spawner, move |cx| {
            let mut spawn = || cx.spawn::<Plain>(Script::new());
            let kept: Vec<_> = (0..many).map(|_| spawn()).collect();
            (kept, (0..many).map(|_| spawn()).collect::<Vec<_>>())
        })
        .await;
        for process in &gone {
            kill(&rt, process.pid()).await;
        }
        let pids: BTreeSet<_> = kept.iter().map(ActorRef::pid).chain(Some(spawner.pid())).collect();
        let snapshot = rt.snapshot();
        let met: BTreeSet<_> = snapshot.processes.iter().map(|info| info.pid).collect();
        assert!(met == pids && snapshot.processes.len() == pids.len());
        assert_eq!(snapshot.runtime.spawned as usize, 2 * many + 1);
        let tree = rt.tree();
        assert_eq!(tree.nodes.len(), many + 1);
        assert_eq!(tree.children(spawner.pid()).count(), many);
        assert_eq!(tree.to_string().lines().count(), many + 1);
        kill(&rt, spawner.pid()).await;
        let _: Vec<_> = rt.top(By::Memory, 3);
        assert!(rt.tree().nodes.iter().all(|node| node.is_orphan));
    });
}

#[test]
fn a_deep_tree_needs_no_stack() {
    threaded(|rt| async move {
        let deep = support::scaled(50_000, 1_000);
        /// Starts the next one.
        struct Link;
        impl Actor for Link {
            type Args = (usize, ActorRef<support::puppet::Do<false>>, Events);
            type Msg = ();
            async fn init(
                (left, told, events): Self::Args,
                cx: &mut Context<Self>,
            ) -> Result<Self, ExitReason> {
                match left {
                    0 => _ = told.cast(note(&events, 1)),
                    left => _ = cx.spawn::<Link>((left - 1, told, events)),
                }
                Ok(Link)
            }
            async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
                Ok(())
            }
        }
        let events = Events::new();
        let told = plain(&rt).await;
        rt.spawn::<Link>((deep, told, events.clone()));
        assert_eq!(events.note().await, 1);
        let tree = rt.tree();
        assert_eq!(tree.nodes.iter().map(|node| node.depth).max(), Some(deep));
        let text = tree.to_string();
        assert!(text.len() < 250 * (deep + 2), "{} bytes", text.len());
        assert!(text.contains(&format!(", {deep} deep\n")));
    });
}

#[test]
fn a_tree_prints_a_line_for_each_process() {
    let rt = Runtime::simulated(7).expect("a runtime");
    rt.block_on(async {
        let events = Events::new();
        let options = SpawnOptions::new().name("accounts").label("all of them");
        let top = rt.with(options).start::<Plain>(Script::new()).await.expect("a process");
        let clerk = ask(&top, |cx| cx.spawn::<Clerk>(())).await;
        let busy = ask(&top, |cx| cx.spawn_link::<Plain>(Script::new())).await;
        busy.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        (0..3).try_for_each(|n| busy.cast(note(&events, n))).expect("it lives");
        let (_reply, answer) = whitebeam_actor::oneshot();
        clerk.cast(Ask::Wait(answer)).expect("it lives");
        rt.sleep(MS).await;
        let loose = rt.spawn_fn(async |mut mailbox: Mailbox<()>| {
            mailbox.recv().await;
            Ok(())
        });
        rt.sleep(MS).await;
        let mut text = rt.tree().to_string();
        for (pid, name) in [
            (top.pid(), "<top>"),
            (clerk.pid(), "<clerk>"),
            (busy.pid(), "<busy>"),
            (loose.pid(), "<loose>"),
        ] {
            text = text.replace(&pid.to_string(), name);
        }
        let mut lines: Vec<&str> = text.lines().collect();
        let loose = lines.pop().expect("a line");
        assert_eq!(
            lines.join("\n"),
            "<top> \"accounts\" (\"all of them\") Puppet<false>
  <busy> Puppet<false>, suspended, 3 unread
  <clerk> Clerk, suspended in Wait"
        );
        assert!(loose.starts_with("<loose> ") && loose.ends_with("{{closure}}"), "{loose}");
        // A suspended handler is not waited for: it never ends.
        rt.exit(&clerk, ExitReason::Kill);
    });
}

#[test]
fn names_of_messages_travel_the_ways_around() {
    everywhere(|rt| async move {
        // Through a narrowed address, as a monitor's message, and to a process in the process form.
        struct Door(Vec<&'static str>);
        enum Knock {
            Sub(u32),
            Down,
            Which(Reply<Vec<&'static str>>),
        }
        impl From<u32> for Knock {
            fn from(n: u32) -> Self {
                Knock::Sub(n)
            }
        }
        impl Actor for Door {
            type Args = ActorRef<support::puppet::Do<false>>;
            type Msg = Knock;
            async fn init(of: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
                cx.monitor(&of, |_| Knock::Down);
                Ok(Door(Vec::new()))
            }
            async fn handle(
                &mut self,
                msg: Knock,
                cx: &mut Context<Self>,
            ) -> Result<(), ExitReason> {
                match msg {
                    Knock::Sub(n) => assert_eq!(n, 5),
                    Knock::Down => {}
                    Knock::Which(reply) => {
                        reply.send(self.0.clone());
                        return Ok(());
                    }
                }
                let seen = cx.runtime().info(cx.pid()).expect("it runs");
                self.0.extend(seen.message);
                Ok(())
            }
            fn msg_name(msg: &Knock) -> Option<&'static str> {
                Some(match msg {
                    Knock::Sub(_) => "Sub",
                    Knock::Down => "Down",
                    Knock::Which(_) => "Which",
                })
            }
        }
        let watched = plain(&rt).await;
        let options = SpawnOptions::new().keep_last(8);
        let door = rt.with(options).start::<Door>(watched.clone()).await.expect("a door");
        let plain_door = rt.start::<Door>(watched.clone()).await.expect("a door");
        for door in [door.clone(), plain_door] {
            door.narrow::<u32>().cast(5).expect("it lives");
            assert_eq!(door.call(Knock::Which).await.expect("an answer"), ["Sub"]);
        }
        kill(&rt, watched.pid()).await;
        while door.call(Knock::Which).await.expect("an answer") != ["Sub", "Down"] {
            rt.sleep(MS).await;
        }
        let last = info(&rt, &door).last_messages;
        assert_eq!(
            last.iter().filter(|name| **name != "Which").collect::<Vec<_>>(),
            [&"Sub", &"Down"]
        );

        let options = SpawnOptions::new().keep_last(3);
        let body = rt.with(options).spawn_fn(async |mut mailbox: Mailbox<Reply<()>>| {
            loop {
                mailbox.recv().await.send(());
            }
        });
        for _ in 0..4 {
            body.call(|reply| reply).await.expect("an answer");
        }
        let type_name = std::any::type_name::<Reply<()>>();
        assert_eq!(info(&rt, &body).last_messages, [type_name; 3]);
        rt.exit(&body, ExitReason::Kill);
    });
}

#[test]
fn what_a_handler_leaves_behind_an_await_is_not_in_hand() {
    everywhere(|rt| async move {
        let process = plain(&rt).await;
        process
            .cast(later(|_, cx| {
                let sleep = cx.runtime().sleep(MS);
                Box::pin(async move {
                    sleep.await;
                    Ok(())
                })
            }))
            .expect("it lives");
        settled(&process).await;
        let seen = until(&rt, process.pid(), |info| info.status == Status::Waiting).await;
        assert_eq!((seen.message, seen.is_suspended), (None, false));
    });
}
