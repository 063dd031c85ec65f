//! The harness as its users meet it: arguments, exit codes, output.
//!
//! Runs the real program on workloads made tiny: what is checked is that each goes through, that
//! its counts hold (it checks them itself and exits with 1 when one is off) and that its figures
//! have the form other programs read.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whitebeam-bench"))
        .args(arguments.split_whitespace())
        .env_remove("WHITEBEAM_PARTITIONS")
        .output()
        .expect("the harness can be started")
}

/// Standard output of a run that must succeed.
fn stdout(arguments: &str) -> String {
    let out = bench(arguments);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "`{arguments}` ended with {}: {stderr}", out.status);
    String::from_utf8(out.stdout).expect("output is text")
}

/// The JSON lines of a run that must succeed, each with the fields every figure has.
fn figures(arguments: &str) -> Vec<Value> {
    let text = stdout(&format!("{arguments} --json"));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(!lines.is_empty(), "`{arguments}` printed nothing");
    for line in &lines {
        assert!(
            line["workload"].is_string() && line["figure"].is_string() && line["unit"].is_string(),
            "{line}"
        );
        assert!(
            line["params"]["workers"].is_u64()
                && line["reps"].is_u64()
                && line["noisy"].is_boolean(),
            "{line}"
        );
        assert!(line["rmw_ns"].is_number(), "{line}");
        assert!(line["line_transfer_ns"].is_number() || line["env"]["cores"] == 1, "{line}");
        assert!(line["env"]["rustc"].is_string() && line["env"]["commit"].is_string(), "{line}");
        assert_eq!(line["env"]["allocator"], "mimalloc");
        if line["median"].is_number() {
            let [min, median, max] =
                ["min", "median", "max"].map(|field| line[field].as_f64().expect(field));
            assert!(min <= median && median <= max, "{line}");
        } else {
            assert!(
                line["median"].is_null() && line["min"].is_null() && line["max"].is_null(),
                "{line}"
            );
        }
    }
    lines
}

/// The one line with this figure.
fn figure<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let mut found = lines.iter().filter(|line| line["figure"] == name);
    let line = found.next().unwrap_or_else(|| panic!("no figure {name}"));
    assert!(found.next().is_none(), "figure {name} twice");
    line
}

#[test]
fn bad_arguments_end_with_2_and_say_what_to_write() {
    for (arguments, hint) in [
        ("jump", "unrecognized subcommand 'jump'"),
        ("run", "Usage: whitebeam-bench run <WORKLOAD>"),
        ("run W99", "unrecognized subcommand 'W99'"),
        ("run W1 --children 5", "unexpected argument '--children'"),
        ("run W1 --reps 0", "use a whole number from 1"),
        ("run W1 --workers 0", "a runtime needs a thread to run on"),
        ("run W1 --scale 2", "above 0 and up to 1"),
        ("run shutdown --workers -1", "use a whole number from 1"),
        ("run shutdown --workers none", "use a whole number from 1"),
        ("run shutdown --children 0", "nothing to shut down"),
        ("run shutdown --layout sideways", "use `flat`, `partitioned:P`"),
        ("run shutdown --layout partitioned:0", "0 partitions cannot hold children"),
        ("run shutdown --layout partitioned", "`partitioned:16`"),
        ("run shutdown --child asleep", "use `idle`, `trapping`"),
        ("run shutdown --child busy:0", "microseconds from 1"),
        ("run W10 --hog sometimes", "never-yields"),
        ("run W10 --spare perhaps", "on, off"),
        ("run W8 --child backlog:none", "no number of messages"),
        ("stress --seconds 0", "nothing is found in no time"),
        ("stress --workers 0", "a runtime needs a thread to run on"),
        ("stress --actors 0", "without an actor nothing happens"),
        ("stress --seed none", "invalid value 'none'"),
    ] {
        let out = bench(arguments);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "`{arguments}`: {stderr}");
        assert!(stderr.contains(hint), "`{arguments}` should say \"{hint}\": {stderr}");
        assert!(out.stdout.is_empty(), "`{arguments}` printed figures");
    }
}

#[test]
fn list_names_every_workload() {
    let text = stdout("list");
    for id in [
        "shutdown", "W1", "W1b", "W2", "W2s", "W3", "W4", "W5", "W6", "W6x", "W7", "W8", "W8t",
        "W8b", "W9", "W10", "W11", "W12", "W13", "idle", "overload", "burst", "walk",
    ] {
        let named = text.lines().any(|line| line.split_whitespace().next() == Some(id));
        assert!(named, "{id} is missing:\n{text}");
    }
}

#[test]
fn a_shutdown_of_each_layout_gives_all_its_figures() {
    for (layout, shown) in [
        ("flat", "flat"),
        ("partitioned:3", "partitioned:3"),
        ("two-tier:3", "two-tier:3"),
        ("two-tier", "two-tier:2"),
    ] {
        let lines = figures(&format!("run shutdown --children 500 --layout {layout} --reps 2"));
        for name in [
            "start_s",
            "shutdown_ms",
            "supervisors_kib",
            "max_queue_len",
            "max_queue_len_sampled",
            "queue_len_p50",
            "queue_len_p99",
            "queue_samples",
        ] {
            let line = figure(&lines, name);
            assert_eq!(line["workload"], "shutdown");
            assert_eq!(line["params"]["children"], 500);
            assert_eq!(line["params"]["layout"], shown);
            assert_eq!(line["params"]["child"], "idle");
            assert_eq!(line["reps"], 2);
        }
        assert_eq!(lines.len(), 8);
        assert!(figure(&lines, "shutdown_ms")["min"].as_f64() > Some(0.0));
        assert!(figure(&lines, "supervisors_kib")["min"].as_f64() > Some(0.0));
        let (high_water, sampled) =
            (figure(&lines, "max_queue_len"), figure(&lines, "max_queue_len_sampled"));
        assert!(high_water["max"].as_u64() >= sampled["max"].as_u64(), "{high_water} {sampled}");
    }
}

#[test]
fn a_shutdown_of_each_kind_of_child_keeps_its_counts() {
    for child in ["trapping", "busy:100", "backlog:3"] {
        let lines = figures(&format!(
            "run shutdown --children 200 --layout two-tier:2 --child {child} --reps 1"
        ));
        assert_eq!(figure(&lines, "shutdown_ms")["params"]["child"], child);
    }
}

#[test]
fn burning_children_take_at_least_their_pure_work() {
    let lines = figures("run W8b --scale 0.001 --reps 1");
    let ratios: Vec<f64> = lines
        .iter()
        .filter(|line| line["figure"] == "ratio_to_pure_work")
        .filter_map(|line| line["min"].as_f64())
        .collect();
    assert_eq!(ratios.len(), 4);
    assert!(ratios.iter().all(|&ratio| ratio >= 1.0), "{ratios:?}");
}

#[test]
fn every_workload_runs_and_has_the_figures_of_its_id() {
    for (id, scale, names) in [
        ("W1", "0.001", &["ns_per_hop"][..]),
        ("W1b", "0.01", &["m_hops_per_s"]),
        ("W2", "0.001", &["m_msg_per_s"]),
        ("W2s", "0.001", &["m_msg_per_s"]),
        ("W3", "0.001", &["ns_per_hop"]),
        ("W4", "0.001", &["ns_per_spawn", "bytes_per_actor"]),
        ("W5", "0.001", &["us_per_lifecycle"]),
        ("W6", "0.001", &["ns_per_call"]),
        ("W6x", "0.01", &["us_per_call"]),
        ("W7", "0.001", &["us_per_child"]),
        ("W8", "0.001", &["shutdown_ms", "max_queue_len"]),
        ("W8t", "0.001", &["shutdown_ms", "max_queue_len"]),
        ("W9", "0.01", &["m_msg_per_s"]),
        (
            "W10",
            "0.02",
            &[
                "round_trip_p50_us",
                "round_trip_p99_us",
                "round_trip_p99_9_us",
                "lateness_p50_ms",
                "lateness_p99_ms",
                "lateness_p99_9_ms",
                "probes",
            ],
        ),
        ("W12", "0.01", &["restarts_per_s"]),
        ("W13", "0.001", &["kill_ms"]),
        ("idle", "0.01", &["cpu_ms"]),
        (
            "overload",
            "0.02",
            &[
                "unloaded_p99_us",
                "others_p99_us",
                "p99_ratio",
                "unloaded_call_p99_us",
                "others_call_p99_us",
                "sent",
                "refused",
                "lost",
                "max_queue_len",
                "rss_growth_mib",
            ],
        ),
        (
            "walk",
            "0.01",
            &[
                "ms_per_walk",
                "ns_per_actor",
                "ns_per_actor_top",
                "ns_per_actor_snapshot",
                "load_m_msg_per_s",
                "load_walked_m_msg_per_s",
                "slow_down_percent",
                "walks",
                "age_apart_p50_ms",
                "age_apart_max_ms",
                "age_off_p50_ms",
            ],
        ),
        ("burst", "0.01", &["rss_before_mib", "rss_peak_mib", "rss_after_mib", "back_after_s"]),
    ] {
        let lines = figures(&format!("run {id} --scale {scale} --reps 1"));
        for line in &lines {
            assert_eq!(line["workload"], id);
            assert_eq!(line["params"]["scale"].as_f64(), scale.parse().ok());
            let name = line["figure"].as_str().unwrap_or_default();
            assert!(names.contains(&name), "{id} has a figure {name}");
        }
        for name in names {
            assert!(lines.iter().any(|line| line["figure"] == *name), "{id} lacks {name}");
        }
    }
}

#[test]
fn a_hog_that_never_yields_leaves_the_probe_to_the_spare() {
    // With one worker nothing but the spare could run it meanwhile.
    let lines = figures("run W10 --scale 0.1 --reps 1 --workers 1 --hog never-yields --spare on");
    let probes = figure(&lines, "probes");
    assert_eq!(
        (&probes["params"]["hog"], &probes["params"]["spare"]),
        (&"never-yields".into(), &"on".into())
    );
    // Five hundred on a quiet machine.
    assert!(probes["min"].as_f64() > Some(50.0), "{probes}");
}

#[test]
fn the_stress_program_says_its_seed_and_finds_nothing() {
    let text = stdout("stress --seconds 2 --workers 2 --actors 100 --seed 7");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "stress: seed 7, 2 s, 2 workers, 100 actors");
    assert!(lines[1].starts_with("ok: "), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
    for what in
        ["rounds", "operations", "spawns", "messages", "calls", "monitors", "links", "timers"]
    {
        let counted = lines[1].split([';', ',']).any(|part| {
            let part = part.trim().trim_start_matches("ok: ");
            let words: Vec<_> = part.split_whitespace().collect();
            words.contains(&what)
                && words.iter().any(|word| word.parse::<u64>().is_ok_and(|n| n > 0))
        });
        assert!(counted, "no {what}: {text}");
    }
}

#[test]
fn start_is_measured_with_one_caller_and_with_eight() {
    let lines = figures("run W7 --scale 0.001 --reps 1");
    let callers: Vec<_> =
        lines.iter().filter_map(|line| line["params"]["callers"].as_u64()).collect();
    assert_eq!(callers, [1, 8]);
}

#[test]
fn without_json_there_is_a_table() {
    let text = stdout("run W6 --scale 0.001 --reps 1");
    assert!(text.starts_with("W6: workers 2, scale 0.001; 1 repetition; line transfer "), "{text}");
    assert!(text.contains("ns_per_call"), "{text}");
}
