//! Events of a runtime as `tracing` events, for whatever subscriber the program has set.
//!
//! By `tracing-core` alone: its macros' crate brings two more packages and nothing that is used here. Targets, names and fields
//! are part of the crate's contract (`docs/events.md`), so they stand in one list each, which a test holds to that
//! page. An event that nobody is interested in costs a load.

use tracing_core::{
    Event, Kind, Level, Metadata,
    callsite::{Callsite, DefaultCallsite},
    dispatcher,
    field::{Value, display},
    identify_callsite,
};

use super::RuntimeEvent;
use crate::{
    CrashReport, ExitReason, MailboxLevel, Name, Pid, StuckHandler, SupervisorContext,
    SupervisorReport, crash,
};

/// One kind of event: its place in the program as `tracing` knows it.
macro_rules! kind {
    ($site:ident, $meta:ident, $name:literal, $target:literal, $level:ident, [$($field:literal),* $(,)?]) => {
        static $site: DefaultCallsite = DefaultCallsite::new(&$meta);
        static $meta: Metadata<'static> = Metadata::new(
            $name,
            $target,
            Level::$level,
            None,
            None,
            Some(module_path!()),
            tracing_core::field::FieldSet::new(&[$($field),*], identify_callsite!(&$site)),
            Kind::EVENT,
        );
    };
}

kind!(
    CRASH,
    CRASH_META,
    "crash",
    "whitebeam::crash",
    ERROR,
    [
        "message",
        "pid",
        "name",
        "label",
        "actor",
        "parent",
        "during",
        "reason",
        "panic_place",
        "message_type",
        "attempt",
        "handled",
        "unread",
        "links",
        "state",
        "message_name",
        "uptime_s",
    ]
);

/// What is told of a handler that holds its worker: of both kinds the same.
macro_rules! handler {
    ($site:ident, $meta:ident, $name:literal) => {
        kind!(
            $site,
            $meta,
            $name,
            "whitebeam::watchdog",
            WARN,
            [
                "message",
                "pid",
                "name",
                "label",
                "actor",
                "message_type",
                "worker",
                "since_s",
                "held_s",
                "message_name",
            ]
        );
    };
}

handler!(STUCK, STUCK_META, "handler_stuck");
handler!(RETURNED, RETURNED_META, "handler_returned");

kind!(
    HIGH,
    HIGH_META,
    "mailbox_high",
    "whitebeam::mailbox",
    WARN,
    ["message", "pid", "name", "label", "actor", "len", "watermark", "suppressed",]
);

kind!(
    LOW,
    LOW_META,
    "mailbox_low",
    "whitebeam::mailbox",
    INFO,
    ["message", "pid", "name", "label", "actor", "len", "watermark", "suppressed",]
);

kind!(
    PROGRESS,
    PROGRESS_META,
    "progress",
    "whitebeam::supervisor",
    DEBUG,
    ["message", "supervisor", "name", "label", "child", "pid", "reason",]
);

kind!(
    START_ERROR,
    START_ERROR_META,
    "start_error",
    "whitebeam::supervisor",
    ERROR,
    ["message", "supervisor", "name", "label", "child", "pid", "reason",]
);

kind!(
    CHILD_TERMINATED,
    CHILD_TERMINATED_META,
    "child_terminated",
    "whitebeam::supervisor",
    ERROR,
    ["message", "supervisor", "name", "label", "child", "pid", "reason",]
);

kind!(
    SHUTDOWN_ERROR,
    SHUTDOWN_ERROR_META,
    "shutdown_error",
    "whitebeam::supervisor",
    ERROR,
    ["message", "supervisor", "name", "label", "child", "pid", "reason",]
);

kind!(
    SHUTDOWN,
    SHUTDOWN_META,
    "shutdown",
    "whitebeam::supervisor",
    ERROR,
    ["message", "supervisor", "name", "label", "child", "pid", "reason",]
);

/// Whether a subscriber wants this kind.
fn is_wanted(site: &'static DefaultCallsite) -> bool {
    let interest = site.interest();
    if interest.is_never() {
        return false;
    }
    interest.is_always() || dispatcher::get_default(|current| current.enabled(site.metadata()))
}

/// Whether a subscriber will be told of crashes.
pub(crate) fn wants_crashes() -> bool {
    is_wanted(&CRASH)
}

/// Whether a subscriber is there that will be told of handlers that hold their worker.
pub(crate) fn wants_stuck() -> bool {
    is_wanted(&STUCK)
}

fn site_of(context: SupervisorContext) -> &'static DefaultCallsite {
    match context {
        SupervisorContext::Progress => &PROGRESS,
        SupervisorContext::StartError => &START_ERROR,
        SupervisorContext::ChildTerminated => &CHILD_TERMINATED,
        SupervisorContext::ShutdownError => &SHUTDOWN_ERROR,
        SupervisorContext::Shutdown => &SHUTDOWN,
    }
}

/// Whether a subscriber will be told of what supervisors report.
pub(crate) fn wants_supervision(context: SupervisorContext) -> bool {
    is_wanted(site_of(context))
}

/// Tells the subscriber.
pub(crate) fn emit(event: &RuntimeEvent) {
    match event {
        RuntimeEvent::Crashed(report) => crashed(report),
        RuntimeEvent::HandlerStuck(handler) => stuck(&STUCK, handler),
        RuntimeEvent::HandlerReturned(handler) => stuck(&RETURNED, handler),
        RuntimeEvent::MailboxHigh(level) => mailbox(&HIGH, level, "long"),
        RuntimeEvent::MailboxLow(level) => mailbox(&LOW, level, "short again"),
        RuntimeEvent::Supervisor(report) => supervisor(site_of(report.context), report),
    }
}

/// A field whose value may be absent.
type Field<'a> = Option<&'a dyn Value>;

fn dispatch<const N: usize>(meta: &'static Metadata<'static>, values: [Field<'_>; N]) {
    let mut fields = meta.fields().iter();
    // As many fields as values: both are written out side by side.
    let values = values.map(|value| match fields.next() {
        Some(field) => (field, value),
        None => unreachable!("a value without a field"),
    });
    let values = values.each_ref().map(|(field, value)| (field, *value));
    Event::dispatch(meta, &meta.fields().value_set(&values));
}

fn crashed(report: &CrashReport) {
    if !is_wanted(&CRASH) {
        return;
    }
    let pid = |pid: Pid| display(pid);
    let text = |name: &Option<Name>| name.as_ref().map(crash::name_of);
    let (name, label) = (text(&report.name), text(&report.label));
    let reason = crash::text_of(&report.reason);
    let place = match &report.reason {
        ExitReason::Panic(panic) => panic.location(),
        _ => None,
    };
    let message = format!("{} crashed: {}: {reason}", report.pid, report.actor);
    let (own, parent) = (pid(report.pid), report.parent.map(pid));
    let during = display(report.during);
    let uptime = report.uptime.map(|uptime| uptime.as_secs_f64());
    dispatch(
        &CRASH_META,
        [
            Some(&message.as_str()),
            Some(&own),
            name.as_ref().map(|name| name as &dyn Value),
            label.as_ref().map(|label| label as &dyn Value),
            Some(&report.actor),
            parent.as_ref().map(|parent| parent as &dyn Value),
            Some(&during),
            Some(&reason.as_str()),
            place.as_ref().map(|place| place as &dyn Value),
            Some(&report.message_type),
            Some(&report.attempt),
            Some(&report.handled),
            Some(&report.unread),
            Some(&report.link_count),
            report.state.as_ref().map(|state| state as &dyn Value),
            report.message.as_ref().map(|name| name as &dyn Value),
            uptime.as_ref().map(|uptime| uptime as &dyn Value),
        ],
    );
}

fn stuck(site: &'static DefaultCallsite, handler: &StuckHandler) {
    if !is_wanted(site) {
        return;
    }
    let (message, pid) = (display(handler), handler.pid.map(display));
    let text = |name: &Option<Name>| name.as_ref().map(crash::name_of);
    let (name, label) = (text(&handler.name), text(&handler.label));
    let (since, held) = (handler.since.as_secs_f64(), handler.held_for.as_secs_f64());
    dispatch(
        site.metadata(),
        [
            Some(&message),
            pid.as_ref().map(|pid| pid as &dyn Value),
            name.as_ref().map(|name| name as &dyn Value),
            label.as_ref().map(|label| label as &dyn Value),
            handler.actor.as_ref().map(|actor| actor as &dyn Value),
            handler.message.as_ref().map(|message| message as &dyn Value),
            Some(&handler.worker),
            Some(&since),
            Some(&held),
            handler.message_name.as_ref().map(|name| name as &dyn Value),
        ],
    );
}

fn mailbox(site: &'static DefaultCallsite, level: &MailboxLevel, now: &str) {
    if !is_wanted(site) {
        return;
    }
    let (pid, watermark) = (display(level.pid), level.watermark);
    let text = |name: &Option<Name>| name.as_ref().map(crash::name_of);
    let (name, label) = (text(&level.name), text(&level.label));
    let message =
        format!("{} {}: its mailbox is {now}: {} messages", level.pid, level.actor, level.len);
    dispatch(
        site.metadata(),
        [
            Some(&message.as_str()),
            Some(&pid),
            name.as_ref().map(|name| name as &dyn Value),
            label.as_ref().map(|label| label as &dyn Value),
            Some(&level.actor),
            Some(&level.len),
            Some(&watermark),
            Some(&level.suppressed),
        ],
    );
}

fn supervisor(site: &'static DefaultCallsite, report: &SupervisorReport) {
    if !is_wanted(site) {
        return;
    }
    let (message, own, pid) =
        (display(report), display(report.supervisor), report.pid.map(display));
    let text = |name: &Option<Name>| name.as_ref().map(crash::name_of);
    let (name, label) = (text(&report.name), text(&report.label));
    let reason = report.reason.as_ref().map(crash::text_of);
    let reason = reason.as_deref();
    dispatch(
        site.metadata(),
        [
            Some(&message),
            Some(&own),
            name.as_ref().map(|name| name as &dyn Value),
            label.as_ref().map(|label| label as &dyn Value),
            Some(&report.child.as_str()),
            pid.as_ref().map(|pid| pid as &dyn Value),
            reason.as_ref().map(|reason| reason as &dyn Value),
        ],
    );
}

/// The kinds, for the test that holds `docs/events.md` to them.
#[cfg(all(test, not(loom)))]
static KINDS: [&Metadata<'static>; 10] = [
    &CRASH_META,
    &STUCK_META,
    &RETURNED_META,
    &HIGH_META,
    &LOW_META,
    &PROGRESS_META,
    &START_ERROR_META,
    &CHILD_TERMINATED_META,
    &SHUTDOWN_ERROR_META,
    &SHUTDOWN_META,
];

#[cfg(all(test, not(loom)))]
mod tests {
    use super::KINDS;

    /// A row for each kind: target, name, level and all fields in order.
    #[test]
    fn the_page_of_events_lists_each_kind_with_its_fields() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
        let page = std::fs::read_to_string(page).expect("the page of events");
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `whitebeam")).collect();
        for kind in KINDS {
            let fields: Vec<String> =
                kind.fields().iter().skip(1).map(|field| format!("`{}`", field.name())).collect();
            let row = format!(
                "| `{}` | `{}` | {} | {} |",
                kind.target(),
                kind.name(),
                kind.level(),
                fields.join(", ")
            );
            assert!(rows.contains(&row.as_str()), "docs/events.md lacks this row:\n{row}");
        }
        assert_eq!(rows.len(), KINDS.len(), "docs/events.md has kinds that are not there");
    }
}
