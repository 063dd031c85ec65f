//! What a `tracing` subscriber is told. One for the whole program, so one test per file.
#![cfg(feature = "tracing")]

mod support;

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;
use support::{
    expect_panics,
    puppet::{Script, because},
};
use tracing_core::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
};
use whitebeam_actor::{Handle, Runtime, SpawnOptions};

type Plain = support::puppet::Puppet<false>;

/// The fields of each event, as text.
static SEEN: Mutex<Vec<BTreeMap<String, String>>> = Mutex::new(Vec::new());

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("whitebeam::") && metadata.is_event()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let meta = event.metadata();
        fields.0.insert("target".to_owned(), meta.target().to_owned());
        fields.0.insert("event".to_owned(), meta.name().to_owned());
        assert_eq!(*meta.level(), Level::ERROR);
        let is_bomb = fields.0.get("label").is_some_and(|label| label.contains("bomb"));
        SEEN.lock().push(fields.0);
        if is_bomb {
            panic!("{}", support::EXPECTED)
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Crashes of a process under this label, told so far.
fn told(label: &str) -> Vec<BTreeMap<String, String>> {
    let seen = SEEN.lock();
    seen.iter()
        .filter(|fields| fields.get("label").is_some_and(|it| it.contains(label)))
        .cloned()
        .collect()
}

async fn crash(rt: &Handle, label: &str) {
    let script = Script::new().init_now(|_| Err(because("told")));
    let crashes = rt.with(SpawnOptions::new().label(label)).spawn::<Plain>(script);
    rt.down(&crashes).await;
    // Told behind the DOWN.
    while told(label).is_empty() {
        support::yield_now().await;
    }
}

/// Set in the process that is looked at from outside.
const INSIDE: &str = "WHITEBEAM_TEST_INSIDE";

/// Stderr is seen from outside: the test runs itself once more.
#[test]
fn a_subscriber_is_told_of_crashes_instead_of_stderr() {
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().expect("a program");
        let mut again = std::process::Command::new(this);
        again.args(["--exact", "a_subscriber_is_told_of_crashes_instead_of_stderr", "--nocapture"]);
        let output = again.env(INSIDE, "1").output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("crashed:"), "{stderr}");
        return;
    }
    expect_panics();
    dispatcher::set_global_default(Dispatch::new(Keeper)).expect("the first");
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    rt.block_on(async {
        crash(&rt, "one").await;
        let all = told("one");
        let [fields] = &all[..] else { panic!("{all:?}") };
        assert_eq!(fields["target"], "whitebeam::crash");
        assert_eq!(fields["event"], "crash");
        assert!(fields["message"].contains("crashed"), "{fields:?}");
        assert!(fields["reason"].contains("told"), "{fields:?}");
        assert!(fields["pid"].starts_with('<'), "{fields:?}");
        assert!(fields["actor"].contains("Puppet"), "{fields:?}");
        assert_eq!(fields["attempt"], "1");
        assert!(!fields.contains_key("name") && !fields.contains_key("parent"), "{fields:?}");
        // A subscriber that panics harms nobody, and is counted.
        crash(&rt, "bomb").await;
        crash(&rt, "two").await;
        assert_eq!(rt.event_counts().panics, 1);
    });
    assert_eq!(rt.event_counts().told, 0);
    let (text, printed) = std::sync::mpsc::channel();
    let writing = Runtime::builder().workers(1).print_crashes(move |block| {
        let _ = text.send(block.to_owned());
    });
    let writing = writing.build().expect("a runtime");
    writing.block_on(crash(&writing, "three"));
    drop(writing);
    assert!(
        printed.try_iter().any(|block| block.contains("three")),
        "a writer is given it all the same"
    );
}
