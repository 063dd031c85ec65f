//! Panics in every place that the user's code runs in: they are the affair of one child.

use futures_util::future::join;
use whitebeam_actor::{Actor, Context, ExitReason, StartError};
use whitebeam_supervisor::{DynamicRef, DynamicSupervisor, Intensity};

use crate::support::{
    EXPECTED, Log, Msg, Plain, Setup, Tidy, everywhere, expect_panics, kind, stop, told,
};

/// The supervisor still does what it is for.
async fn serves(sup: &DynamicRef<Tidy>, log: &Log) {
    let child = sup.start_child(Setup::new(99, log)).await.unwrap();
    assert_eq!(child.call(Msg::Who).await.unwrap().0, 99);
    sup.terminate_child(&child).await.unwrap();
}

#[test]
fn a_panic_in_init_is_the_answer_to_the_start() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(|_| async { panic!("{EXPECTED}") });
        match sup.start_child(setup).await {
            Err(StartError::Exit(ExitReason::Panic(panic))) => {
                assert_eq!(panic.message(), EXPECTED)
            }
            other => panic!("{other:?}"),
        }
        serves(&sup, &log).await;
        assert_eq!(sup.count(), 0);
    });
}

#[test]
fn panics_in_handle_terminate_and_drop_end_their_child_only() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::temporary().start(&rt).await.unwrap();
        let bystander = sup.start_child(Setup::new(0, &log)).await.unwrap();

        let handles = sup.start_child(Setup::new(1, &log)).await.unwrap();
        assert_eq!(kind(&told(&rt, &handles, Msg::Panic).await), "panic");

        let setup = Setup::new(2, &log).terminate(|_| async { panic!("{EXPECTED}") });
        let terminates = sup.start_child(setup).await.unwrap();
        sup.terminate_child(&terminates).await.unwrap();

        let setup = Setup::new(3, &log).on_drop(|| panic!("{EXPECTED}"));
        let drops = sup.start_child(setup).await.unwrap();
        let reason = told(&rt, &drops, Msg::End(ExitReason::Normal)).await;
        assert_eq!(kind(&reason), "panic");

        assert!(bystander.is_alive());
        serves(&sup, &log).await;
    });
}

#[test]
fn a_stop_goes_on_over_panics_in_terminate_and_drop() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let tidy = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let plain = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        for id in 0..300 {
            let setup = Setup::new(id, &log);
            let setup = match id % 3 {
                0 => setup.terminate(|_| async { panic!("{EXPECTED}") }),
                1 => setup.on_drop(|| panic!("{EXPECTED}")),
                _ => setup,
            };
            // The plain ones are idle: they end inline, on the supervisor's own worker.
            tidy.start_child(setup.clone()).await.unwrap();
            plain.start_child(setup).await.unwrap();
        }
        join(stop(&rt, &tidy), stop(&rt, &plain)).await;
        let dropped = |event| matches!(event, crate::support::Event::Dropped(_));
        assert_eq!(log.count(dropped), 600);
    });
}

/// Arguments whose clone and drop panic as they are told.
struct Mine {
    clone: bool,
    drop: bool,
}

impl Clone for Mine {
    fn clone(&self) -> Self {
        assert!(!self.clone, "{EXPECTED}");
        Mine { clone: self.clone, drop: self.drop }
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        if self.drop {
            panic!("{EXPECTED}");
        }
    }
}

struct Miner;

impl Actor for Miner {
    type Args = Mine;
    type Msg = ();

    async fn init(args: Mine, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        std::mem::forget(args);
        Ok(Miner)
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn panics_in_the_clone_and_the_drop_of_arguments_leave_the_supervisor_alone() {
    expect_panics();
    everywhere(|rt| async move {
        let sup = DynamicSupervisor::<Miner>::new()
            .max_children(2)
            .with_intensity(Intensity::Unlimited)
            .start(&rt)
            .await
            .unwrap();
        // Its kept clone is dropped with it, and panics.
        let child = sup.start_child(Mine { clone: false, drop: true }).await.unwrap();
        sup.terminate_child(&child).await.unwrap();

        let error = sup.start_child(Mine { clone: true, drop: false }).await.unwrap_err();
        assert!(matches!(error, StartError::Exit(ExitReason::Panic(_))));
        let error = sup.start_child(Mine { clone: true, drop: true }).await.unwrap_err();
        assert!(matches!(error, StartError::Exit(ExitReason::Panic(_))));

        for _ in 0..2 {
            sup.start_child(Mine { clone: false, drop: true }).await.unwrap();
        }
        // Refused: the arguments are dropped by the supervisor.
        let refused = sup.start_children((0..3).map(|_| Mine { clone: false, drop: true })).await;
        assert!(refused.iter().all(|start| matches!(start, Err(StartError::MaxChildren))));
        assert_eq!(sup.count(), 2);
        // The kept ones are dropped with the supervisor, one by one: two panics at once would abort.
        stop(&rt, &sup).await;
    });
}

#[test]
fn starts_that_nobody_takes_drop_their_arguments_one_by_one() {
    expect_panics();
    everywhere(|rt| async move {
        let sup = DynamicSupervisor::<Miner>::temporary().start(&rt).await.unwrap();
        stop(&rt, &sup).await;
        let refused = sup.start_children((0..3).map(|_| Mine { clone: false, drop: true }));
        assert!(refused.await.iter().all(|start| matches!(start, Err(StartError::NoSupervisor))));
    });
}
