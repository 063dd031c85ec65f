//! The supervision tree as text, for Graphviz and as a plan of its stop. Pids are letters in the order of their lines.

use std::{collections::HashSet, time::Duration};

use whitebeam_actor::{ChildRef, ExitReason, Handle, SpawnOptions};
use whitebeam_supervisor::{
    AutoShutdown, Child, DynamicSupervisor, NodeKind, NodeState, PartitionSupervisor, Partitions,
    Restart, Shutdown, StopTime, Supervisor, SupervisorRef,
};

use crate::support::{Do, Idle, Job, Manner, everywhere, simulated, with_letters};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn plain(id: &str) -> Child<ChildRef<Do>> {
    Child::new::<Job>(id, Manner::default())
}

struct Handles {
    root: SupervisorRef,
    db: ChildRef<Do>,
    hung: ChildRef<Do>,
}

/// A tree with a bit of everything.
async fn grown(rt: &Handle) -> Handles {
    let mut tree = Supervisor::one_for_one()
        .auto_shutdown(AutoShutdown::AnySignificant)
        .options(SpawnOptions::new().name("app").label("the \"whole\""));
    let db = tree.child_with(plain("db"));
    let mut pool = Supervisor::rest_for_one();
    let trapping = Manner { traps: true, ..Manner::default() };
    let hung = pool.child_with(Child::new::<Job>("hung", trapping).shutdown(Shutdown::Infinity));
    pool.child_with(plain("off").shutdown(Shutdown::BrutalKill));
    let pool = tree.child_with(Child::nested("pool", pool).shutdown(Shutdown::After(ms(2_500))));
    let shapes = DynamicSupervisor::<Idle>::temporary().partitions(Partitions::exactly(2));
    let shapes = tree.nest("shapes", shapes);
    let stores = PartitionSupervisor::new(Partitions::exactly(2), |_| {
        plain("store").shutdown(Shutdown::After(ms(1_500)))
    });
    tree.nest("stores", stores);
    let job = plain("job").restart(Restart::Transient).significant();
    tree.child_with(job.shutdown(Shutdown::After(ms(700))));
    let root = tree.start(rt).await.unwrap();
    for key in 0..11 {
        shapes.start_child(&key, ()).await.unwrap();
    }
    pool.terminate_child("off").await.unwrap();
    let old = rt.down(&db);
    db.cast(Do::Fail).unwrap();
    old.await;
    while !db.is_alive() {
        rt.sleep(ms(1)).await;
    }
    hung.cast(Do::Query).unwrap();
    (0..2).for_each(|_| hung.cast(Do::Note).unwrap());
    while hung.info().unwrap().message.is_none() {
        rt.sleep(ms(1)).await;
    }
    Handles { root, db, hung }
}

const TEXT: &str = "\
<a> app (the \"whole\") one_for_one: 5 supervisors, 17 workers (1 not running)
  db <b> Job: permanent, 5s, restarted 1x
  pool <c> rest_for_one: permanent, 2.5s, 2 workers (1 not running)
    hung <d> Job: permanent, infinity, in Query, 2 unread
    off Job: permanent, brutal kill, stopped
  shapes <e> partitions: permanent, infinity, 2 supervisors, 11 workers
    0 <f> dynamic: permanent, infinity, 6 workers
      <g> Idle: temporary, 5s
      <h> Idle: temporary, 5s
      <i> Idle: temporary, 5s
      <j> Idle: temporary, 5s
      \u{2026} 2 more
    1 <k> dynamic: permanent, infinity, 5 workers
      <l> Idle: temporary, 5s
      <m> Idle: temporary, 5s
      <n> Idle: temporary, 5s
      <o> Idle: temporary, 5s
      \u{2026} 1 more
  stores <p> partitions: permanent, infinity, 2 workers
    store[0] <q> Job: permanent, 1.5s
    store[1] <r> Job: permanent, 1.5s
  \u{2026} 1 more
";

const PLAN: &str = "\
stops within 14.7s
<a> one_for_one: 14.7s
  1. 1 more: 700ms
  2. stores <b> partitions: 1.5s
    - store[1] <c> worker: 1.5s
    - store[0] <d> worker: 1.5s
  3. shapes <e> partitions: 5s
    - 1 <f> dynamic: 5s
      - 1 more: 5s
      - <g> worker: 5s
      - <h> worker: 5s
      - <i> worker: 5s
      - <j> worker: 5s
    - 0 <k> dynamic: 5s
      - 2 more: 5s
      - <l> worker: 5s
      - <m> worker: 5s
      - <n> worker: 5s
      - <o> worker: 5s
  4. pool <p> rest_for_one: 2.5s
    1. hung <q> worker: infinity
  5. db <r> worker: 5s
warning: app/pool is killed after 2.5s, and its children may take infinity: give it infinity
";

const DOT: &str = "\
digraph supervision {
  node [fontname=\"sans-serif\"];
  ordering=out;
  n0 [shape=box, style=solid, label=\"<a> app (the \\\"whole\\\") one_for_one\\n5 supervisors, 17 workers (1 not running)\"];
  n1 [shape=ellipse, style=solid, label=\"db <b> Job\\npermanent\\n5s\\nrestarted 1x\"];
  n0 -> n1;
  n2 [shape=box, style=solid, label=\"pool <c> rest_for_one\\npermanent\\n2.5s\\n2 workers (1 not running)\"];
  n3 [shape=ellipse, style=solid, label=\"hung <d> Job\\npermanent\\ninfinity\\nin Query\\n2 unread\"];
  n2 -> n3;
  n4 [shape=ellipse, style=dashed, label=\"off Job\\npermanent\\nbrutal kill\\nstopped\"];
  n2 -> n4;
  n0 -> n2;
";

#[test]
fn a_tree_is_printed_with_what_is_known_of_each() {
    simulated(|rt| async move {
        let Handles { root, hung, .. } = grown(&rt).await;
        let tree = root.tree().children(4).await;
        assert_eq!(with_letters(&tree.to_string()), TEXT);
        assert_eq!(with_letters(&tree.stop_plan().to_string()), PLAN);
        let dot = with_letters(&tree.to_dot());
        assert!(dot.starts_with(DOT), "{dot}");
        rt.exit(&hung, ExitReason::Kill);
    });
}

#[test]
fn the_same_is_seen_on_threads() {
    everywhere(|rt| async move {
        let Handles { root, db, hung } = grown(&rt).await;
        let tree = root.tree().children(100).await;
        assert_eq!(tree.walk().count(), 1 + 5 + 17);
        let below = tree.root.below;
        assert_eq!((below.supervisors, below.workers, below.active), (5, 17, 21));
        let find = |id: &str| {
            let node = tree.walk().find(|(_, node)| node.id.as_deref() == Some(id));
            node.map(|(depth, node)| (depth, node.clone())).expect(id)
        };
        let (depth, job) = find("job");
        assert_eq!((depth, job.significant, job.restart), (1, true, Some(Restart::Transient)));
        let (_, seen) = find("db");
        assert_eq!((seen.restarts, seen.state, seen.pid), (1, NodeState::Running, pid(&db)));
        let (depth, seen) = find("hung");
        assert_eq!((depth, seen.message, seen.mailbox_len), (2, Some("Query"), 2));
        let (_, off) = find("off");
        assert_eq!((off.state, off.pid, off.stops_within), (NodeState::Stopped, None, NOTHING));
        let (_, pool) = find("pool");
        assert_eq!((pool.kind, pool.answered), (NodeKind::RestForOne, true));
        assert_eq!(pool.children_stop_within, StopTime::Infinite);
        assert_eq!(tree.stop_budget(), StopTime::Within(ms(14_700)));
        let warnings = tree.stop_plan().warnings;
        assert_eq!((warnings.len(), &*warnings[0].path.join("/")), (1, "app/pool"));
        rt.exit(&hung, ExitReason::Kill);
    });
}

const NOTHING: StopTime = StopTime::Within(Duration::ZERO);

fn pid(child: &ChildRef<Do>) -> Option<whitebeam_actor::Pid> {
    child.current().map(|current| current.pid())
}

/// What a plan says is what happens.
#[test]
fn a_stop_takes_as_long_as_its_plan_says_at_worst() {
    simulated(|rt| async move {
        let never = Manner { terminates_in: Some(Duration::from_secs(9_999)), ..Manner::default() };
        let child = move |id: usize, time: u64| {
            Child::new::<Job>(id, never).shutdown(Shutdown::After(ms(time)))
        };
        let mut inner = Supervisor::one_for_all();
        inner.child_with(child(1, 100));
        inner.child_with(child(2, 250));
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(1, 30));
        tree.nest("inner", inner);
        tree.nest(
            "wide",
            PartitionSupervisor::new(Partitions::exactly(3), move |index| {
                child(index, 100 * (index as u64 + 1))
            }),
        );
        let root = tree.start(&rt).await.unwrap();
        let budget = root.tree().await.stop_budget();
        assert_eq!(budget, StopTime::Within(ms(30 + 350 + 300)));
        let begun = rt.uptime();
        rt.stop(&root, ExitReason::Shutdown).await.unwrap();
        assert_eq!(StopTime::Within(rt.uptime() - begun), budget);
    });
}

/// Finite times above longer ones are named, at any depth; those that suffice are not.
#[test]
fn supervisors_that_have_too_little_time_are_named() {
    simulated(|rt| async move {
        let mut low = Supervisor::one_for_one();
        low.child_with(plain("a"));
        low.child_with(plain("b"));
        let mut middle = Supervisor::one_for_one();
        middle.child_with(Child::nested("low", low).shutdown(Shutdown::After(ms(9_999))));
        let enough = Child::nested("enough", {
            let mut tree = Supervisor::one_for_one();
            tree.child_with(plain("c"));
            tree
        });
        middle.child_with(enough.shutdown(Shutdown::After(ms(5_000))));
        let dynamic = DynamicSupervisor::<Idle>::temporary();
        let dynamic =
            middle.child_with(Child::nested("kids", dynamic).shutdown(Shutdown::BrutalKill));
        let mut tree = Supervisor::one_for_one();
        tree.child_with(Child::nested("middle", middle).shutdown(Shutdown::After(ms(14_998))));
        let root = tree.start(&rt).await.unwrap();
        let warnings = async || {
            let plan = root.tree().await.stop_plan();
            let text = |warning: &whitebeam_supervisor::StopWarning| {
                warning.path[1..].join("/") + " " + &warning.needs.to_string()
            };
            plan.warnings.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(warnings().await, ["middle 14.999s", "middle/low 10s"]);
        dynamic.start_child(()).await.unwrap();
        assert_eq!(warnings().await, ["middle 14.999s", "middle/kids 5s", "middle/low 10s"]);
    });
}

/// How many are listed makes no difference to what is warned of, and in which order.
#[test]
fn supervisors_that_are_not_listed_are_named_too() {
    simulated(|rt| async move {
        let short = |id: &str, inner: Supervisor| {
            Child::nested(id, inner).shutdown(Shutdown::After(ms(4_999)))
        };
        let leaf = || {
            let mut tree = Supervisor::one_for_one();
            tree.child_with(plain("worker"));
            tree
        };
        let mut tree = Supervisor::one_for_one().options(SpawnOptions::new().name("app"));
        tree.child_with(short("first", leaf()));
        let mut middle = Supervisor::one_for_one();
        middle.child_with(plain("enough"));
        middle.child_with(short("low", leaf()));
        middle.child_with(short("last", leaf()));
        tree.nest("middle", middle);
        let root = tree.start(&rt).await.unwrap();
        let all = root.tree().await.stop_plan();
        let path = |warning: &whitebeam_supervisor::StopWarning| warning.path.join("/");
        let paths: Vec<_> = all.warnings.iter().map(path).collect();
        assert_eq!(paths, ["app/middle/last", "app/middle/low", "app/first"]);
        for children in 0..3 {
            let tree = root.tree().children(children).await;
            let plan = tree.stop_plan();
            assert_eq!((plan.warnings, plan.within), (all.warnings.clone(), all.within), "{tree}");
        }
    });
}

/// Its `terminate` waits for a child, or its `init` never ends, or it is only slow: what is seen from outside is told.
#[test]
fn who_does_not_answer_is_shown_as_such() {
    everywhere(|rt| async move {
        let mut ending = Supervisor::one_for_one();
        let trapping = Manner { traps: true, ..Manner::default() };
        let hung =
            ending.child_with(Child::new::<Job>("hung", trapping).shutdown(Shutdown::Infinity));
        let mut tree = Supervisor::one_for_one();
        tree.child_with(plain("first"));
        let ending = tree.nest("ending", ending);
        tree.child_with(plain("last"));
        let root = tree.start(&rt).await.unwrap();
        hung.cast(Do::Query).unwrap();
        while hung.info().unwrap().message.is_none() {
            rt.sleep(ms(1)).await;
        }
        let stopped = rt.spawn_task(rt.stop(&ending, ExitReason::Shutdown));
        while root.tree().await.root.children[1].state != NodeState::Stopping {
            rt.sleep(ms(1)).await;
        }
        // It is asked no more, and holds nobody up: the walk's own time would be long.
        let begun = rt.uptime();
        let tree = root.tree().within(Duration::from_secs(3_000)).await;
        assert!(rt.uptime() - begun < Duration::from_secs(30));
        let [first, ending, last] = &tree.root.children[..] else { panic!("{tree}") };
        assert_eq!((first.state, last.state), (NodeState::Running, NodeState::Running));
        assert_eq!((ending.answered, ending.kind), (false, NodeKind::Supervisor));
        assert_eq!(ending.children_stop_within, StopTime::Unknown);
        assert_eq!(tree.stop_budget(), StopTime::Unknown);
        assert!(tree.to_string().contains("stopping, does not answer"), "{tree}");
        rt.exit(&hung, ExitReason::Kill);
        let _ = stopped.await;
    });
}

/// The user's code holds a supervisor up: the walk comes back when its time is over, with what is seen from outside.
#[test]
fn a_supervisor_that_is_held_up_holds_no_picture_up() {
    use std::sync::{Arc, mpsc};
    use whitebeam_actor::{Actor, Context, Runtime};

    struct Held;
    /// Its clone says that it is there, and waits for the test.
    struct Args(mpsc::Sender<()>, Arc<parking_lot::Mutex<mpsc::Receiver<()>>>);
    impl Clone for Args {
        fn clone(&self) -> Self {
            self.0.send(()).unwrap();
            let _ = self.1.lock().recv_timeout(Duration::from_secs(60));
            Args(self.0.clone(), self.1.clone())
        }
    }
    impl Actor for Held {
        type Args = Args;
        type Msg = ();
        async fn init(_: Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Held)
        }
        async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }

    let rt = Runtime::builder().workers(2).build().unwrap();
    let ((release, gate), (enter, entered)) = (mpsc::channel(), mpsc::channel());
    rt.block_on(async {
        let mut tree = Supervisor::one_for_one();
        let held = tree.nest("held", DynamicSupervisor::<Held>::new());
        tree.child_with(plain("other"));
        let mut sub = Supervisor::one_for_one();
        sub.child_with(plain("deep"));
        let mut good = Supervisor::one_for_one();
        good.nest("sub", sub);
        tree.nest("good", good);
        let root = tree.start(&rt).await.unwrap();
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        let start = || held.start_child(Args(enter.clone(), gate.clone()));
        let first = start();
        while entered.try_recv().is_err() {
            rt.sleep(ms(1)).await;
        }
        let second = start();
        let (begun, within) = (rt.uptime(), ms(1_000));
        let tree = root.tree().within(within).await;
        assert!(rt.uptime() - begun >= within);
        let [seen, other, good] = &tree.root.children[..] else { panic!("{tree}") };
        // The start behind the one in hand.
        assert_eq!((seen.mailbox_len, seen.state), (1, NodeState::Running), "{tree}");
        assert_eq!((seen.children_stop_within, other.answered), (StopTime::Unknown, false));
        // What is below its siblings is seen down to the end.
        let sub = &good.children[0];
        assert_eq!((good.answered, sub.answered, sub.children.len()), (true, true, 1), "{tree}");
        assert_eq!(tree.to_string().matches("does not answer").count(), 1, "{tree}");
        (0..2).for_each(|_| release.send(()).unwrap());
        first.await.unwrap();
        second.await.unwrap();
        // Unless said the time is long enough for one that is only busy.
        let tree = root.tree().await;
        assert_eq!(tree.root.children[0].children.len(), 2, "{tree}");
    });
    assert!(rt.block_on(rt.shutdown(Duration::from_secs(10))).is_clean());
}

/// A root that is gone is a picture of its own.
#[test]
fn a_root_that_has_ended_is_a_node_without_a_process() {
    everywhere(|rt| async move {
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        rt.stop(&root, ExitReason::Shutdown).await.unwrap();
        let tree = root.tree().await;
        assert_eq!((tree.root.pid, tree.root.state), (None, NodeState::Stopped));
        assert_eq!((tree.stop_budget(), tree.stop_plan().steps.len()), (NOTHING, 0));
        assert_eq!(tree.to_string(), "Supervising: stopped\n");
    });
}

/// While it starts its children a supervisor tells of those that it has.
#[test]
fn a_tree_that_is_starting_is_shown_as_far_as_it_is() {
    use crate::support::{Gate, Log, Plain, Setup};
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one().options(SpawnOptions::new().name("root"));
        tree.child_with(plain("first"));
        tree.child_with(Child::new::<Plain>("slow", Setup::new(1, &log).init_at(&gate)));
        tree.child_with(plain("last"));
        let start = rt.spawn_task(tree.start(&rt));
        let root = loop {
            match SupervisorRef::find(&rt, whitebeam_actor::Name::from("root")) {
                Ok(root) => break root,
                Err(_) => rt.sleep(ms(1)).await,
            }
        };
        let states = async || {
            let tree = root.tree().await;
            let below = tree.root.children.iter().map(|child| child.state);
            (tree.root.state, below.collect::<Vec<_>>())
        };
        use NodeState::{Running, Starting, Stopped};
        while states().await != (Starting, vec![Running, Starting, Stopped]) {
            rt.sleep(ms(1)).await;
        }
        gate.open();
        start.await.unwrap();
        assert_eq!(states().await, (Running, vec![Running, Running, Running]));
    });
}

/// Whatever ids, names and labels say: nodes, edges and strings are those of the language, and all are there.
#[test]
fn the_picture_for_graphviz_can_be_read() {
    simulated(|rt| async move {
        let evil = "a \"b\" -> c; } // \\ \n <html> {x|y}\r\n\u{1f332}\\";
        let mut tree = Supervisor::one_for_one().options(SpawnOptions::new().label(evil));
        tree.child_with(plain(evil));
        tree.nest("d", DynamicSupervisor::<Idle>::temporary());
        let root = tree.start(&rt).await.unwrap();
        let (nodes, edges) = read(&root.tree().await.to_dot());
        assert_eq!((nodes.len(), edges.len()), (3, 2));
        let label = evil.replace('\r', "");
        assert!(nodes[0].1.contains(&format!("({label})")), "{nodes:?}");
        assert!(nodes[1].1.starts_with(&label), "{nodes:?}");

        let Handles { root, hung, .. } = grown(&rt).await;
        let tree = root.tree().children(3).await;
        let (nodes, edges) = read(&tree.to_dot());
        let more = tree.walk().filter(|(_, node)| node.more > 0).count();
        assert_eq!(nodes.len(), tree.walk().count() + more);
        // A tree: each but the root has one above it.
        let below: HashSet<_> = edges.iter().map(|(_, below)| below).collect();
        assert_eq!((edges.len(), below.len()), (nodes.len() - 1, nodes.len() - 1));
        rt.exit(&hung, ExitReason::Kill);
    });
}

/// Nodes with their labels; or edges.
type Pairs = Vec<(String, String)>;

/// Nodes with their labels, and edges, of a text in the part of Graphviz's language that is used here: a statement a line,
/// `node [key=value, ..];` or `from -> to;`, values being words or quoted strings.
fn read(dot: &str) -> (Pairs, Pairs) {
    let body = dot.strip_prefix("digraph supervision {\n").unwrap().strip_suffix("}\n").unwrap();
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    for line in body.lines() {
        let statement = line.trim_start().strip_suffix(';').expect(line);
        if let Some((from, to)) = statement.split_once(" -> ")
            && !from.contains('[')
        {
            edges.push((from.to_owned(), to.to_owned()));
            continue;
        }
        let Some((name, attributes)) = statement.split_once(" [") else {
            assert_eq!(statement, "ordering=out");
            continue;
        };
        let label = read_attributes(attributes.strip_suffix(']').expect(line));
        if name != "node" {
            nodes.push((name.to_owned(), label.expect(line)));
        }
    }
    let names: HashSet<_> = nodes.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), nodes.len(), "each node is there once");
    assert!(edges.iter().all(|(from, to)| names.contains(from) && names.contains(to)));
    (nodes, edges)
}

/// The value of `label`, with its escapes undone.
fn read_attributes(text: &str) -> Option<String> {
    let (mut rest, mut label) = (text, None);
    loop {
        let (key, value) = rest.split_once('=').expect(rest);
        let mut read = String::new();
        if let Some(quoted) = value.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            rest = loop {
                match chars.next().expect("the string ends") {
                    (at, '"') => break &quoted[at + 1..],
                    (_, '\\') => match chars.next().expect("something is escaped").1 {
                        'n' => read.push('\n'),
                        escaped => {
                            assert!(matches!(escaped, '"' | '\\'), "an escape of Graphviz's");
                            read.push(escaped);
                        }
                    },
                    (_, char) => read.push(char),
                }
            };
        } else {
            let end = value.find(',').unwrap_or(value.len());
            assert!(value[..end].chars().all(char::is_alphanumeric), "{value}");
            read.push_str(&value[..end]);
            rest = &value[end..];
        }
        if key == "label" {
            label = Some(read);
        }
        match rest.strip_prefix(", ") {
            Some(next) => rest = next,
            None => {
                assert!(rest.is_empty(), "{rest}");
                return label;
            }
        }
    }
}
