//! A tree, a plan and a report as JSON: `cargo test -p whitebeam-supervisor --features serde --test tree_json`.
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::HashMap, future::pending, time::Duration};

use serde_json::{Value, json, to_value};
use whitebeam_actor::{Mailbox, Runtime, SpawnOptions};
use whitebeam_supervisor::{Child, Shutdown, Supervisor};

/// The value, with pids as letters.
fn of(value: impl serde::Serialize, letters: &HashMap<String, String>) -> Value {
    fn replace(value: &mut Value, letters: &HashMap<String, String>) {
        match value {
            Value::String(text) => {
                if let Some(letter) = letters.get(text) {
                    text.clone_from(letter);
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|value| replace(value, letters)),
            Value::Object(all) => all.values_mut().for_each(|value| replace(value, letters)),
            _ => {}
        }
    }
    let mut value = to_value(value).unwrap();
    replace(&mut value, letters);
    value
}

fn time(secs: u64, nanos: u32) -> Value {
    json!({ "secs": secs, "nanos": nanos })
}

#[test]
fn a_tree_its_plan_and_the_report_of_its_stop() {
    let rt = Runtime::simulated(1).unwrap();
    let body = |_mailbox: Mailbox<u32>| async { pending().await };
    rt.block_on(async {
        let mut tree = Supervisor::rest_for_one().options(SpawnOptions::new().name("app"));
        let limit = Shutdown::After(Duration::from_millis(1_500));
        tree.child_with(Child::process("sink", body).shutdown(limit));
        let deaf = |mut mailbox: Mailbox<u32>| async move {
            mailbox.trap_exit(|_| 0);
            pending().await
        };
        tree.child_with(Child::process("deaf", deaf).shutdown(limit));
        tree.nest("empty", Supervisor::one_for_all());
        let root = tree.start(&rt).await.unwrap();
        rt.sleep(Duration::from_millis(1)).await;

        let picture = root.tree().await;
        let pids = picture.walk().filter_map(|(_, node)| node.pid);
        let letters = pids.zip('a'..).map(|(pid, letter)| (pid.to_string(), format!("<{letter}>")));
        let letters: HashMap<_, _> = letters.collect();
        let value = of(&picture, &letters);
        let sink = json!({
            "id": "sink", "pid": "<b>", "name": null, "label": null,
            "actor": picture.root.children[0].actor, "kind": "Worker",
            "restart": "Permanent", "shutdown": { "After": time(1, 500_000_000) },
            "significant": false, "state": "Running", "restarts": 0, "mailbox_len": 0,
            "message": null, "in_hand_for": null, "answered": false, "children": [], "more": 0,
            "below": { "supervisors": 0, "workers": 0, "active": 0 },
            "stops_within": { "Within": time(1, 500_000_000) },
            "children_stop_within": { "Within": time(0, 0) },
        });
        let root_value = &value["root"];
        assert_eq!((&root_value["pid"], &root_value["name"]), (&json!("<a>"), &json!("app")));
        assert_eq!(
            (&root_value["kind"], &root_value["restart"]),
            (&json!("RestForOne"), &Value::Null)
        );
        assert_eq!(root_value["below"], json!({ "supervisors": 1, "workers": 2, "active": 3 }));
        assert_eq!(root_value["children"][0], sink);
        assert_eq!(root_value["children"][2]["shutdown"], json!("Infinity"));

        let step = |order: Value, id: &str, pid: &str, kind: &str, within: Value| {
            json!({ "depth": 1, "order": order, "id": id, "pid": pid, "kind": kind, "count": 1,
                "within": { "Within": within } })
        };
        let plan = of(picture.stop_plan(), &letters);
        assert_eq!(plan["within"], json!({ "Within": time(3, 0) }));
        assert_eq!(plan["warnings"], json!([]));
        assert_eq!(plan["steps"][1], step(json!(1), "empty", "<d>", "OneForAll", time(0, 0)));
        assert_eq!(plan["steps"][3], step(json!(3), "sink", "<b>", "Worker", time(1, 500_000_000)));

        let report = rt.shutdown(Duration::from_secs(60)).await;
        let value = of(&report, &letters);
        let app = &value["supervisors"][0];
        assert_eq!((&app["name"], &app["reason"]), (&json!("app"), &json!("shutdown")));
        assert_eq!(app["took"], time(1, 500_000_000));
        let children = &app["children"];
        assert_eq!((&children["clean"], &children["killed"]), (&json!(2), &json!(1)));
        let exception = json!({
            "id": "deaf", "pid": "<c>", "label": null,
            "actor": report.supervisors[0].children.exceptions[0].actor,
            "how": "Killed", "reason": "killed", "took": time(1, 500_000_000),
            "status": "Suspended", "message": null, "mailbox_len": 0,
        });
        assert_eq!(children["exceptions"], json!([exception]));
        assert_eq!(children["nested"], json!([]));
        assert_eq!((&value["clean"], &value["killed"]), (&json!(1), &json!(0)));
    });
}
