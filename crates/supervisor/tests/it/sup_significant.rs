//! Significant children and auto shutdown, by the ids of `docs/conformance.md`.

use whitebeam_actor::{ChildRef, DownFuture, ExitReason, Handle};
use whitebeam_supervisor::{AutoShutdown, Child, ChildState, Restart, Supervisor, SupervisorRef};

use crate::{
    support::{Log, Msg, end, kind, told},
    tree::{
        child, counts, current, everywhere, pid, quiet, renewed, starts, until_dropped, until_state,
    },
};

const MODES: [AutoShutdown; 3] =
    [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];
const STRATEGIES: [fn() -> Supervisor; 3] =
    [Supervisor::one_for_one, Supervisor::one_for_all, Supervisor::rest_for_one];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Api,
    Kill,
    Crash,
    Normal,
}

const WAYS: [How; 4] = [How::Api, How::Kill, How::Crash, How::Normal];

impl How {
    async fn happens(self, rt: &Handle, root: &SupervisorRef, child: &ChildRef<Msg>) {
        match self {
            How::Api => root.terminate_child(child).await.unwrap(),
            How::Kill => drop(end(rt, child, ExitReason::Kill).await),
            How::Crash => {
                let crash = Msg::End(ExitReason::custom("crash"));
                drop(told(rt, &current(child), crash).await);
            }
            How::Normal => {
                let normal = Msg::End(ExitReason::Normal);
                drop(told(rt, &current(child), normal).await);
            }
        }
    }
}

/// The end of a temporary child that is not significant ends nobody else.
#[test]
fn sup_087_plain_temporary() {
    for mode in MODES {
        everywhere(move |rt| async move {
            let log = Log::new();
            let root = Supervisor::one_for_one().auto_shutdown(mode).start(&rt).await.unwrap();
            for how in WAYS {
                let handle =
                    root.start_child(child(1, &log).restart(Restart::Temporary)).await.unwrap();
                how.happens(&rt, &root, &handle).await;
                until_dropped(&rt, &root, 1).await;
            }
            quiet(&rt).await;
            assert!(rt.is_alive(&root));
        });
    }
}

/// Nor that of a transient one, which is restarted if it was abnormal.
#[test]
fn sup_088_plain_transient() {
    for mode in MODES {
        everywhere(move |rt| async move {
            let log = Log::new();
            let root = Supervisor::one_for_one().auto_shutdown(mode).start(&rt).await.unwrap();
            for how in WAYS {
                let handle =
                    root.start_child(child(1, &log).restart(Restart::Transient)).await.unwrap();
                let before = pid(&handle);
                how.happens(&rt, &root, &handle).await;
                match how {
                    How::Kill | How::Crash => {
                        renewed(&rt, &root, 1, before).await;
                        root.terminate_child(1).await.unwrap();
                    }
                    How::Api | How::Normal => {
                        until_state(&rt, &root, 1, ChildState::Stopped).await;
                    }
                }
                root.delete_child(1).await.unwrap();
            }
            quiet(&rt).await;
            assert!(rt.is_alive(&root));
        });
    }
}

/// The modes in which children may be significant.
const SIGNIFICANT: [AutoShutdown; 2] = [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];

/// Two significant children of this restart type, and a plain one between them.
async fn with_bystander(
    rt: &Handle,
    mode: AutoShutdown,
    restart: Restart,
    log: &Log,
) -> (SupervisorRef, [ChildRef<Msg>; 3]) {
    with_bystander_under(rt, Supervisor::one_for_one(), mode, restart, log).await
}

async fn with_bystander_under(
    rt: &Handle,
    tree: Supervisor,
    mode: AutoShutdown,
    restart: Restart,
    log: &Log,
) -> (SupervisorRef, [ChildRef<Msg>; 3]) {
    let mut tree = tree.auto_shutdown(mode);
    let first = tree.child_with(child(1, log).restart(restart).significant());
    let plain = tree.child_with(child(2, log));
    let last = tree.child_with(child(3, log).restart(restart).significant());
    (tree.start(rt).await.unwrap(), [first, plain, last])
}

/// A significant child that is terminated by hand ends nobody else.
#[test]
fn sup_089_significant_and_terminated() {
    for mode in SIGNIFICANT {
        everywhere(move |rt| async move {
            let log = Log::new();
            let (root, [first, _, last]) =
                with_bystander(&rt, mode, Restart::Temporary, &log).await;
            root.terminate_child(&first).await.unwrap();
            quiet(&rt).await;
            assert_eq!(counts(&root).await, (2, 2, 0, 2));
            root.terminate_child(&last).await.unwrap();
            quiet(&rt).await;
            assert_eq!(counts(&root).await, (1, 1, 0, 1));
            assert!(rt.is_alive(&root));
        });
    }
}

async fn all_shut_down(downs: impl IntoIterator<Item = DownFuture>) {
    for down in downs {
        assert_eq!(kind(&down.await.reason), "shutdown");
    }
}

/// One that ends by itself ends the supervisor, with `Shutdown`, and all others.
#[test]
fn sup_090_any_significant() {
    for how in [How::Kill, How::Crash, How::Normal] {
        everywhere(move |rt| async move {
            let log = Log::new();
            let mode = AutoShutdown::AnySignificant;
            let (root, [first, plain, last]) =
                with_bystander(&rt, mode, Restart::Temporary, &log).await;
            let downs = [rt.down(&root), rt.down(&plain), rt.down(&last)];
            how.happens(&rt, &root, &first).await;
            all_shut_down(downs).await;
            assert_eq!(starts(&log, 1), 1);
        });
    }
}

/// With `AllSignificant` the last one does.
#[test]
fn sup_091_all_significant() {
    for restart in [Restart::Transient, Restart::Temporary] {
        everywhere(move |rt| async move {
            let log = Log::new();
            let mode = AutoShutdown::AllSignificant;
            let (root, [first, plain, last]) = with_bystander(&rt, mode, restart, &log).await;
            let downs = [rt.down(&root), rt.down(&plain)];
            How::Normal.happens(&rt, &root, &first).await;
            quiet(&rt).await;
            assert!(rt.is_alive(&root) && plain.is_alive());
            How::Normal.happens(&rt, &root, &last).await;
            all_shut_down(downs).await;
        });
    }
}

/// A transient significant child that crashes is restarted, and counts as one that is there.
#[test]
fn a_significant_child_that_is_restarted_ends_nobody() {
    for mode in SIGNIFICANT {
        everywhere(move |rt| async move {
            let log = Log::new();
            let (root, [first, _, last]) =
                with_bystander(&rt, mode, Restart::Transient, &log).await;
            let before = pid(&first);
            How::Crash.happens(&rt, &root, &first).await;
            renewed(&rt, &root, 1, before).await;
            let down = rt.down(&root);
            How::Normal.happens(&rt, &root, &last).await;
            if mode == AutoShutdown::AllSignificant {
                quiet(&rt).await;
                assert!(rt.is_alive(&root));
                How::Normal.happens(&rt, &root, &first).await;
            }
            assert_eq!(kind(&down.await.reason), "shutdown");
        });
    }
}

/// Ends that the supervisor has caused do not count.
#[test]
fn sup_093_significant_bystanders() {
    for strategy in STRATEGIES {
        for mode in SIGNIFICANT {
            for restart in [Restart::Transient, Restart::Temporary] {
                everywhere(move |rt| async move {
                    let log = Log::new();
                    let (root, [_, plain, _]) =
                        with_bystander_under(&rt, strategy(), mode, restart, &log).await;
                    let before = pid(&plain);
                    How::Kill.happens(&rt, &root, &plain).await;
                    renewed(&rt, &root, 2, before).await;
                    quiet(&rt).await;
                    assert!(rt.is_alive(&root) && plain.is_alive());
                });
            }
        }
    }
}

/// A supervisor A over a supervisor B, which has a significant worker that ends: how B ends, and A, if it does.
async fn escalation(
    rt: &Handle,
    mode: AutoShutdown,
    is_significant: bool,
) -> [Option<&'static str>; 2] {
    let log = Log::new();
    let mut inner = Supervisor::one_for_one().auto_shutdown(mode);
    let worker = child(1, &log).restart(Restart::Transient).significant();
    let worker = inner.child_with(worker);
    let mut tree = Supervisor::one_for_one().auto_shutdown(mode);
    let inner = Child::nested("b", inner).restart(Restart::Transient);
    let inner = tree.child_with(if is_significant { inner.significant() } else { inner });
    let root = tree.start(rt).await.unwrap();
    let (down, inner_down) = (rt.down(&root), rt.down(&inner));
    told(rt, &current(&worker), Msg::End(ExitReason::Normal)).await;
    let inner = kind(&inner_down.await.reason);
    if is_significant {
        return [Some(inner), Some(kind(&down.await.reason))];
    }
    quiet(rt).await;
    [Some(inner), (!rt.is_alive(&root)).then_some("ended")]
}

fn escalates(is_significant: bool, expected: [Option<&'static str>; 2]) {
    for mode in SIGNIFICANT {
        everywhere(move |rt| async move {
            assert_eq!(escalation(&rt, mode, is_significant).await, expected);
        });
    }
}

/// The end goes up while it comes to significant children.
#[test]
fn sup_094_significant_escalation() {
    escalates(true, [Some("shutdown"); 2]);
}

/// And no further.
#[test]
fn sup_095_no_escalation_by_a_plain_child() {
    escalates(false, [Some("shutdown"), None]);
}
