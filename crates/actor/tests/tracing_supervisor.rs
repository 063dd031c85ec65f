//! What a `tracing` subscriber is told of supervisors' reports. One for the whole program, so one test per file.
#![cfg(feature = "tracing")]

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;
use tracing_core::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
};
use whitebeam_actor::{
    Actor, Context, ExitReason, Pid, Reply, Runtime, SpawnOptions, SupervisorContext,
};

/// Name, level and fields of each event.
static SEEN: Mutex<Vec<(&'static str, Level, Fields)>> = Mutex::new(Vec::new());

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Of progress nobody wants to know.
        metadata.target() == "whitebeam::supervisor" && *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        SEEN.lock().push((meta.name(), *meta.level(), fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// A supervisor that reports what it is told to.
struct Reporter;

struct Report(SupervisorContext, Option<Pid>, Option<ExitReason>, Reply<bool>);

impl Actor for Reporter {
    type Args = ();
    type Msg = Report;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Reporter)
    }

    async fn handle(
        &mut self,
        Report(context, pid, reason, reply): Report,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let mut is_made = false;
        cx.report_child(context, || {
            is_made = true;
            ("db".to_owned(), pid, reason)
        });
        reply.send(is_made);
        Ok(())
    }
}

#[test]
fn a_subscriber_is_told_what_supervisors_report_and_nothing_is_made_for_nobody() {
    dispatcher::set_global_default(Dispatch::new(Keeper)).expect("the first one");
    let rt = Runtime::simulated(1).expect("a runtime");
    rt.block_on(async {
        let options = SpawnOptions::new().name("root").label("the root");
        let root = rt.with(options).start::<Reporter>(()).await.unwrap();
        let report = async |context, pid, reason| {
            root.call(|reply| Report(context, pid, reason, reply)).await.unwrap()
        };
        assert!(!report(SupervisorContext::Progress, None, None).await);
        let reason = Some(ExitReason::custom("crash"));
        for context in [
            SupervisorContext::StartError,
            SupervisorContext::ChildTerminated,
            SupervisorContext::ShutdownError,
        ] {
            assert!(report(context, Some(root.pid()), reason.clone()).await);
        }
        assert!(report(SupervisorContext::Shutdown, None, None).await);

        let seen = std::mem::take(&mut *SEEN.lock());
        let names: Vec<&str> = seen.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["start_error", "child_terminated", "shutdown_error", "shutdown"]);
        assert!(seen.iter().all(|(_, level, _)| *level == Level::ERROR));
        let pid = root.pid().to_string();
        let fields = &seen[1].2.0;
        for (field, value) in [
            ("supervisor", pid.as_str()),
            ("pid", &pid),
            ("name", "\"root\""),
            ("label", "\"the root\""),
            ("child", "db"),
            ("reason", "\"crash\""),
        ] {
            assert_eq!(fields[field], value, "{field}");
        }
        assert!(fields["message"].contains("child_terminated: child `db`"));
        let absent = &seen[3].2.0;
        assert!(!absent.contains_key("pid") && !absent.contains_key("reason"));
    });
}
