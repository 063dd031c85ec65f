//! Everything that can be done with tasks, at random, by several owners at once: whatever happens, each task gives
//! what it may, and in the end nothing is left of any.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::join_all;
use whitebeam_actor::{ExitError, ExitReason, Handle, Mailbox, Rng};
use whitebeam_supervisor::{
    OnTimeout, Shutdown, Task, TaskRef, TaskSupervisor, TaskTimeout, ThisTask, YieldMany,
    await_many, yield_many,
};

use crate::support::{
    EXPECTED, everywhere, expect_panics,
    owner::{Note, ms, oops, run_owner},
    stop, until,
};

/// Counts what lives: a clone is in each body, and is its result.
type Token = Arc<()>;

/// What a task does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Done,
    Sleeps(u64),
    Fails,
    Panics,
    EndsNormally,
    Never,
    Traps,
    Blocks,
}

const WORKS: [Work; 8] = [
    Work::Done,
    Work::Sleeps(1),
    Work::Sleeps(5),
    Work::Fails,
    Work::Panics,
    Work::EndsNormally,
    Work::Never,
    Work::Traps,
];

impl Work {
    async fn run(self, rt: Handle, token: Token) -> Token {
        let exit = async |reason| match ThisTask::current() {
            Some(task) => {
                task.exit(reason).await;
            }
            None => panic!("it is a task"),
        };
        match self {
            Work::Done | Work::Blocks => {}
            Work::Sleeps(time) => rt.sleep(ms(time)).await,
            Work::Fails => exit(oops(1)).await,
            Work::EndsNormally => exit(ExitReason::Normal).await,
            Work::Panics => panic!("{EXPECTED}"),
            Work::Never | Work::Traps => pending().await,
        }
        token
    }

    /// Panics if it cannot have come to this.
    fn check(self, given: &Result<Token, ExitError>) {
        let Err(error) = given else {
            let gives = matches!(self, Work::Done | Work::Blocks | Work::Sleeps(_));
            return assert!(gives, "{self:?} has given a result");
        };
        let reason = error.reason();
        let is_its_own = match self {
            Work::Fails => reason.is::<crate::support::owner::Oops>(),
            Work::Panics => matches!(reason, ExitReason::Panic(_)),
            Work::EndsNormally => reason.is_normal(),
            _ => false,
        };
        let is_ended =
            matches!(reason, ExitReason::Killed | ExitReason::Shutdown | ExitReason::NoProc)
                || reason.is::<TaskTimeout>();
        let is_refused = reason.is::<whitebeam_actor::StartError>();
        assert!(is_its_own || is_ended || is_refused, "{self:?} has given {reason}");
    }
}

fn begin(
    tasks: &TaskRef,
    work: Work,
    token: &Token,
    is_linked: bool,
    mailbox: &mut Mailbox<Note>,
) -> Task<Token> {
    let token = Arc::clone(token);
    let rt = mailbox.runtime();
    match work {
        Work::Traps => tasks.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            Ok(work.run(rt, token).await)
        }),
        Work::Blocks => tasks.spawn_blocking(move || token),
        _ if is_linked => tasks.spawn_link(mailbox, work.run(rt, token)),
        _ => tasks.spawn(work.run(rt, token)),
    }
}

/// An owner that traps exits, and does so many things.
async fn owner(tasks: TaskRef, token: Token, steps: u64, mut mailbox: Mailbox<Note>) {
    mailbox.trap_exit(Note::Exit);
    let rt = mailbox.runtime();
    let mut rng: Rng = mailbox.rng();
    let mut mine: Vec<(Work, Task<Token>)> = Vec::new();
    for _ in 0..steps {
        let most = mine.len() as u64;
        let some = |rng: &mut Rng| (most > 0).then(|| rng.below(most) as usize);
        let limit = ms(rng.below(4));
        let shutdowns = [Shutdown::BrutalKill, Shutdown::After(limit), Shutdown::After(ms(50))];
        let how = shutdowns[rng.below(3) as usize];
        match (rng.below(14), some(&mut rng)) {
            (0..=3, _) | (_, None) => {
                let work = WORKS[rng.below(WORKS.len() as u64) as usize];
                let work = if rng.below(20) == 0 { Work::Blocks } else { work };
                let tasks = tasks.with_shutdown(how);
                let is_linked = rng.below(2) == 0;
                mine.push((work, begin(&tasks, work, &token, is_linked, &mut mailbox)));
            }
            (4, Some(one)) => {
                let (work, task) = mine.swap_remove(one);
                work.check(&task.timeout(limit).await);
            }
            (5, Some(one)) => {
                let (work, task) = &mut mine[one];
                if let Some(given) = task.wait(limit).await {
                    work.check(&given);
                    assert!(task.wait(limit).await.is_none(), "it has given all");
                }
            }
            (6, Some(one)) => {
                let (work, task) = mine.swap_remove(one);
                let pid = task.pid();
                work.check(&task.shutdown(how).await);
                until(&rt, || !rt.is_alive(pid)).await;
            }
            (7, Some(one)) => {
                let (work, task) = mine.swap_remove(one);
                if let Some(given) = task.ignore() {
                    work.check(&given);
                }
            }
            (8, Some(one)) => drop(mine.swap_remove(one)),
            (9, Some(one)) => rt.exit(mine[one].1.pid(), ExitReason::Kill),
            (10, Some(one)) => drop(tasks.terminate_child(mine[one].1.pid()).await),
            (11, Some(_)) => {
                let on_timeout = [OnTimeout::Nothing, OnTimeout::Ignore, OnTimeout::Kill];
                let how = YieldMany::within(limit)
                    .limit(1 + rng.below(3) as usize)
                    .on_timeout(on_timeout[rng.below(3) as usize]);
                let (works, mut all): (Vec<_>, Vec<_>) = mine.drain(..).unzip();
                let given = yield_many(&mut all, how).await;
                assert_eq!(given.len(), all.len());
                for (work, given) in works.iter().zip(&given) {
                    given.iter().for_each(|given| work.check(given));
                }
                mine = works.into_iter().zip(all).collect();
            }
            (12, Some(_)) => {
                let all = mine.drain(..).map(|(_, task)| task);
                drop(await_many(all, limit).await);
            }
            (_, Some(_)) => map(&tasks, &token, &rt, &mut rng).await,
        }
        while mailbox.try_recv().is_some() {}
        // Time goes on, also where all are refused.
        if rng.below(4) == 0 {
            rt.sleep(ms(1)).await;
        }
    }
}

/// A map over works of all kinds, of which some results are looked at.
async fn map(tasks: &TaskRef, token: &Token, rt: &Handle, rng: &mut Rng) {
    let at_once = 1 + rng.below(3) as usize;
    let (token, clock) = (Arc::clone(token), rt.clone());
    let works: Vec<Work> =
        (0..rng.below(8)).map(|_| WORKS[rng.below(WORKS.len() as u64) as usize]).collect();
    let items = futures_util::stream::iter(works);
    let mut all = tasks
        .map_zip_input(items, move |work| work.run(clock.clone(), Arc::clone(&token)))
        .at_once(at_once)
        .timeout(ms(1 + rng.below(6)));
    if rng.below(2) == 0 {
        all = all.unordered();
    }
    if rng.below(2) == 0 {
        all = all.kill_on_timeout();
    }
    for _ in 0..rng.below(10) {
        match all.next().await {
            Some(Err((work, error))) => work.check(&Err(error)),
            Some(Ok(_)) => {}
            None => return,
        }
    }
}

/// Several owners, of which some are killed, as is the supervisor at times.
async fn round(rt: Handle, owners: u64, steps: u64, max_children: usize) {
    expect_panics();
    let tasks = TaskSupervisor::new().max_children(max_children).start(&rt).await.unwrap();
    let token = Token::default();
    let all = join_all((0..owners).map(|number| {
        let (rt, tasks, token) = (rt.clone(), tasks.clone(), Arc::clone(&token));
        async move {
            let (body, ends) = (owner, number % 3 == 2);
            let steps = run_owner(&rt, move |mailbox| async move {
                if !ends {
                    return body(tasks, token, steps, mailbox).await;
                }
                // Ends in the middle of it.
                let rt = mailbox.runtime();
                let time = ms(5 + mailbox.rng().below(20));
                let me = mailbox.pid();
                rt.exit_after(time, me, ExitReason::Kill);
                body(tasks, token, u64::MAX, mailbox).await;
            });
            let reason = steps.await;
            assert!(
                reason.is_normal() || (ends && matches!(reason, ExitReason::Killed)),
                "{reason}"
            );
        }
    }));
    all.await;
    assert!(tasks.count() <= max_children);
    let left = tasks.children().await.unwrap();
    stop(&rt, &tasks).await;
    assert!(left.iter().all(|pid| !rt.is_alive(pid)));
    // What a closure on a thread for blocking work had is dropped there.
    until(&rt, || Arc::strong_count(&token) == 1).await;
    assert_eq!(tasks.count(), 0);
    assert!(rt.shutdown(Duration::from_secs(10)).await.is_clean());
}

#[test]
fn random_operations_on_tasks_leave_nothing() {
    everywhere(|rt| round(rt, 3, 60, usize::MAX));
}

#[test]
fn random_operations_on_few_tasks_leave_nothing() {
    everywhere(|rt| round(rt, 3, 60, 3));
}

/// Also under the sanitizers.
#[test]
fn stress_of_random_operations_on_tasks() {
    crate::support::threaded(|rt| round(rt, 9, 400, 50));
}
