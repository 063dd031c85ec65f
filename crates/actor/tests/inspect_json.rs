//! What is seen as JSON: `cargo test -p whitebeam-actor --features serde --test inspect_json`.
#![cfg(feature = "serde")]

mod support;

use std::time::Duration;

use serde_json::{Value, json, to_value};
use support::puppet::{Events, Plain, Script, ask, hang, note, plain};
use whitebeam_actor::{Name, Runtime, SpawnOptions};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shard(u32);

fn value(of: impl serde::Serialize) -> Value {
    to_value(of).expect("all of it has a form")
}

#[test]
fn pids_and_names_are_text_and_the_rest_is_what_it_is() {
    let rt = Runtime::simulated(1).expect("a runtime");
    rt.block_on(async {
        let events = Events::new();
        let options = SpawnOptions::new().name(Name::of(Shard(3))).label("a shard");
        let parent = rt.with(options).start::<Plain>(Script::new()).await.expect("a process");
        let child = ask(&parent, |cx| cx.spawn::<Plain>(Script::new())).await;
        child.cast(hang(&events, ())).expect("it lives");
        events.hanging().await;
        rt.diagnose();
        (0..2).for_each(|n| child.cast(note(&events, n)).expect("it lives"));
        rt.diagnose();
        rt.sleep(Duration::from_secs(2)).await;

        let info = value(rt.info(&parent).expect("it lives"));
        assert_eq!(info["pid"], json!(parent.pid().to_string()));
        assert_eq!((&info["name"], &info["label"]), (&json!("Shard(3)"), &json!("a shard")));
        assert_eq!((&info["status"], &info["parent"]), (&json!("Waiting"), &Value::Null));
        let snapshot = value(rt.snapshot());
        assert_eq!(snapshot["processes"].as_array().map(Vec::len), Some(2));
        assert_eq!(snapshot["runtime"]["spawned"], json!(2));
        assert_eq!(snapshot["runtime"]["level"], json!("Counts"));
        let tree = value(rt.tree());
        assert_eq!(tree["nodes"][1]["depth"], json!(1));
        assert_eq!(tree["nodes"][1]["info"]["parent"], json!(parent.pid().to_string()));
        let diagnosis = value(rt.diagnose());
        let stuck = &diagnosis["findings"][0]["StuckProcess"];
        assert_eq!(stuck["info"]["pid"], json!(child.pid().to_string()));
        assert_eq!((&stuck["worker"], &stuck["info"]["mailbox_len"]), (&Value::Null, &json!(2)));
        assert_eq!(stuck["at_least"], json!({ "secs": 2, "nanos": 0 }));
        let trace = rt.trace(&parent, 5).expect("it lives");
        ask(&parent, |_| ()).await;
        let entries = value(trace.entries());
        assert_eq!(entries[0]["what"]["Message"]["is_request"], json!(true));
        rt.exit(&child, whitebeam_actor::ExitReason::Kill);
    });
}

#[test]
fn workers_have_their_counters() {
    let rt = Runtime::builder().workers(2).build().expect("a runtime");
    rt.block_on(async { plain(&rt).await });
    let info = value(rt.runtime_info());
    let workers = info["workers"].as_array().expect("a list");
    assert_eq!(workers.len(), 2);
    let runs: u64 = workers.iter().filter_map(|worker| worker["runs"].as_u64()).sum();
    assert!(runs > 0 && workers[0]["busy"]["secs"].is_u64());
}
