//! Crash reports as people read them: the exact blocks, how many there are, and what a program without any settings
//! prints.

use super::*;

/// A block with pids by name and places without numbers.
fn normalised(text: &str, pids: &[(whitebeam_actor::Pid, &str)]) -> String {
    let mut text = text.to_owned();
    for (pid, name) in pids {
        text = text.replace(&pid.to_string(), &format!("<{name}>"));
    }
    let mut parts = text.split(".rs:");
    let mut result = parts.next().unwrap_or_default().replace("crates/actor/", "");
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        result += &format!(".rs:0:0: {}", rest.trim_start());
    }
    result
}

/// Runs a test in a simulated runtime and gives what was printed.
fn printed<F: Future<Output = Vec<(whitebeam_actor::Pid, &'static str)>>>(
    test: impl FnOnce(Handle) -> F,
) -> Vec<String> {
    expect_panics();
    let written = Written::default();
    let rt = Runtime::builder().print_crashes(written.to()).build_simulated(3);
    let rt = rt.expect("a runtime");
    let pids = rt.block_on(test(rt.handle()));
    drop(rt);
    written.take().iter().map(|text| normalised(text, &pids)).collect()
}

#[test]
fn the_block_of_a_panic_with_a_request_in_hand() {
    let blocks = printed(async |rt| {
        let client = plain(&rt).await;
        let options = SpawnOptions::new().name("vault").label("first floor");
        let server =
            ask(&client, move |cx| cx.with(options).spawn_link::<Vault>(Shows::Redacted)).await;
        let to = server.clone();
        let ended = rt.down(&client);
        rt.sleep(Duration::from_millis(1_500)).await;
        client
            .cast(later(move |_, _| {
                Box::pin(async move {
                    let _ = to.call(Open::Panic).await;
                    Ok(())
                })
            }))
            .expect("it lives");
        ended.await;
        vec![(client.pid(), "client"), (server.pid(), "server")]
    });
    let expected = "whitebeam: <server> \"vault\" (\"first floor\") crashed: crashes::Vault
    reason: panic at tests/crashes.rs:0:0: as the test asked
    in: a message of type crashes::Open, asked by <client>
    parent: <client>
    links: <client>; monitors 0, monitored by 0
    start 1, messages taken 1, unread 0, 1.500 s after the runtime's start, up for 1.500 s
    state: owner ada
";
    assert_eq!(blocks, [expected]);
}

#[test]
fn the_block_of_an_error_from_a_cast() {
    let blocks = printed(async |rt| {
        let server = vault(&rt, Shows::Much(3)).await;
        let ended = rt.down(&server);
        server.cast(Open::Stop(because("two\nlines\n"))).expect("it lives");
        let (reply, _gone) = whitebeam_actor::oneshot();
        server.cast(Open::Fail(reply)).expect("it waits");
        ended.await;
        vec![(server.pid(), "server")]
    });
    let expected = "whitebeam: <server> \"vault\" crashed: crashes::Vault
    reason: \"two\\nlines\\n\"
    in: a message of type crashes::Open
    parent: none
    links: none; monitors 0, monitored by 1
    start 1, messages taken 1, unread 1, 0.000 s after the runtime's start, up for 0.000 s
    state: xxx
";
    assert_eq!(blocks, [expected]);
}

#[test]
fn the_blocks_of_init_terminate_and_drop() {
    let blocks = printed(async |rt| {
        let fails = Script::<false>::new().init_now(|_| panic!("{EXPECTED}"));
        let failed = rt.spawn::<Plain>(fails);
        rt.down(&failed).await;
        let script = Script::new().terminate(|_, _| panic!("{EXPECTED}"));
        let tidy = rt.start::<Tidy>(script).await.expect("a process");
        rt.exit(&tidy, ExitReason::Shutdown);
        rt.down(&tidy).await;
        let script = Script::<false>::new().on_drop(|| panic!("{EXPECTED}"));
        let dropped = rt.start::<Plain>(script).await.expect("a process");
        rt.exit(&dropped, ExitReason::Shutdown);
        rt.down(&dropped).await;
        vec![(failed.pid(), "init"), (tidy.pid(), "tidy"), (dropped.pid(), "dropped")]
    });
    let block = |name: &str, tidy: bool, during: &str| {
        format!(
            "whitebeam: <{name}> crashed: crashes::support::puppet::Puppet<{tidy}>
    reason: panic at tests/crashes/printed.rs:0:0: as the test asked
    in: {during}
    parent: none
    links: none; monitors 0, monitored by 1
    start 1, messages taken 0, unread 0, 0.000 s after the runtime's start, up for 0.000 s
"
        )
    };
    let expected = [
        block("init", false, "init"),
        block("tidy", true, "terminate"),
        block("dropped", false, "the drop of its state or of a suspended handler"),
    ];
    assert_eq!(blocks, expected);
}

#[test]
fn long_parts_and_texts_that_panic_are_cut() {
    struct Unspeakable;
    impl fmt::Debug for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("{EXPECTED}");
        }
    }
    let blocks = printed(async |rt| {
        let server = vault(&rt, Shows::Much(100_000)).await;
        let ended = rt.down(&server);
        server.cast(Open::Stop(ExitReason::custom("y".repeat(100_000)))).expect("it lives");
        ended.await;
        let other = vault(&rt, Shows::Much(0)).await;
        let ended = rt.down(&other);
        other.cast(Open::Stop(ExitReason::custom(Unspeakable))).expect("it lives");
        ended.await;
        vec![(server.pid(), "server"), (other.pid(), "other")]
    });
    let lines: Vec<&str> = blocks[0].lines().collect();
    assert_eq!(
        lines[1],
        format!("    reason: \"{} [cut]", "y".repeat(CrashReport::REASON_MAX - 1))
    );
    assert_eq!(lines[6], format!("    state: {} [cut]", "x".repeat(CrashReport::STATE_MAX)));
    assert!(blocks[1].contains("reason: a value whose text panicked: panic: as the test asked"));
    assert!(!blocks[1].contains("state:"), "{}", blocks[1]);
}

#[test]
fn a_storm_is_counted_and_its_print_is_bounded() {
    let crashes = scaled(10_000, 500);
    let written = Written::default();
    built(
        |builder| builder.print_crashes(written.to()),
        async |rt| {
            let (begun, before) = (rt.uptime(), written.0.lock().len());
            let mut downs = Vec::new();
            for _ in 0..crashes {
                let process = rt.spawn::<Plain>(Script::new());
                downs.push(rt.down(&process));
                process.cast(now(|_| Err(because("failed")))).expect("it lives");
            }
            for down in downs {
                down.await;
            }
            let counts = rt.crash_counts();
            assert_eq!(counts.total, crashes as u64);
            assert_eq!((counts.panics, rt.crashes().len()), (0, CRASH_HISTORY));
            let seconds = (rt.uptime() - begun).as_secs() as usize + 2;
            let most = seconds * (CRASHES_PRINTED_PER_SECOND as usize + 1);
            let texts = written.0.lock().len() - before;
            assert!(texts <= most, "{texts} writes in {seconds} s");
        },
    );
    // Nothing was lost: what was printed and what is said to be left out add up.
    let (mut blocks, mut left_out) = (0, 0);
    for text in written.take() {
        for line in text.lines().filter(|line| line.starts_with("whitebeam: ")) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [_, _, "crashed:", ..] => blocks += 1,
                [_, count, "crashes" | "crash", "were" | "was", ..] => {
                    left_out += count.parse::<usize>().expect("a number");
                }
                _ => assert!(line.ends_with("more are counted, not printed"), "{line}"),
            }
        }
    }
    assert_eq!(blocks + left_out, crashes * 10);
    assert!(blocks >= 10 * CRASHES_PRINTED_PER_SECOND as usize);
}

#[test]
fn a_quiet_runtime_a_hook_and_a_simulation_print_nothing_and_a_writer_does() {
    let crash = async |rt: Handle| {
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        process.cast(now(|_| Err(because("failed")))).expect("it lives");
        ended.await;
    };
    let written = Written::default();
    built(|builder| builder.print_crashes(written.to()).on_crash(|_| {}), crash);
    let blocks = written.take();
    assert_eq!(blocks.len(), 10);
    assert!(blocks.iter().all(|text| text.starts_with("whitebeam: <")), "{blocks:?}");
    built(|builder| builder.print_crashes(written.to()).quiet_crashes(), crash);
    assert_eq!(written.take(), [""; 0]);
}

/// A writer that panics is counted with the hooks, and the next block is written all the same.
#[test]
fn a_writer_that_panics_is_contained() {
    built(
        |builder| builder.print_crashes(|_| panic!("{EXPECTED}")),
        async |rt| {
            for _ in 0..2 {
                let process = plain(&rt).await;
                process.cast(now(|_| Err(because("failed")))).expect("it lives");
            }
            while rt.crash_counts().panics < 2 {
                rt.sleep(Duration::from_millis(1)).await;
            }
        },
    );
}

/// What a program without any settings prints, by a process of its own: panics that end an actor once, in a block;
/// others as ever.
#[test]
fn a_panic_is_told_once_on_stderr() {
    let me = std::env::current_exe().expect("this test's program");
    let child = std::process::Command::new(me)
        .args([
            "--exact",
            "printed::program_that_panics",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{text}");
    let count = |what: &str| text.matches(what).count();
    assert_eq!(count("whitebeam: <"), 3, "{text}");
    for told_once in
        ["ends the actor", "kept for later", "caught in the actor", "in a task", "outside"]
    {
        assert_eq!(count(told_once), 1, "{told_once}: {text}");
    }
    let line = |what: &str| text.lines().position(|line| line.contains(what));
    let is_before = |one: &str, other: &str| line(one) < line(other);
    assert!(text.lines().any(|line| line.starts_with("    reason: panic at ")), "{text}");
    assert!(text.contains("panicked at"), "{text}");
    // The caught one is printed when its handler is done.
    assert!(is_before("caught in the actor", "kept for later"), "{text}");
    // Of a panic and one while the state is dropped both are told; the first once more, in the block.
    assert_eq!((count("first of two"), count("second of two")), (2, 1), "{text}");
}

#[test]
#[ignore = "the program of `a_panic_is_told_once_on_stderr`"]
fn program_that_panics() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    rt.block_on(async {
        let crash = async |process: ActorRef<support::puppet::Do<false>>, text: &'static str| {
            let ended = rt.down(&process);
            process.cast(now(move |_| panic!("{text}"))).expect("it lives");
            ended.await;
        };
        crash(plain(&rt).await, "ends the actor").await;
        let process = plain(&rt).await;
        ask(&process, |_| {
            let _ = std::panic::catch_unwind(|| panic!("caught in the actor"));
        })
        .await;
        settled(&process).await;
        crash(process, "kept for later").await;
        let script = Script::<false>::new().on_drop(|| panic!("second of two"));
        crash(rt.start::<Plain>(script).await.expect("a process"), "first of two").await;
        let task = rt.spawn_task(async {
            let _ = std::panic::catch_unwind(|| panic!("in a task"));
        });
        task.await;
    });
    let _ = std::thread::spawn(|| panic!("outside")).join();
}
