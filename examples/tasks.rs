//! A fan-out: one price from each of many shops, so many at a time, each in no more than its time; what is late or
//! fails is one result among the others. Then the first of several that answers.
//!
//! Run it with `cargo run --release --example tasks`. It runs on a simulated runtime, so that its seconds take no time and it ends in the same way each time.

#![allow(clippy::print_stdout, reason = "a program for people to watch")]

use std::time::Duration;

use whitebeam::{
    ExitReason, OnTimeout, Runtime, TaskRef, TaskSupervisor, TaskTimeout, YieldMany, yield_many,
};

/// Asks a shop. One is slow, and one is broken.
async fn price(rt: whitebeam::Handle, shop: u64) -> u64 {
    match shop {
        3 => rt.sleep(Duration::from_secs(60)).await,
        5 => panic!("shop {shop} is on fire"),
        _ => rt.sleep(Duration::from_millis(100 * (shop % 3))).await,
    }
    100 + shop
}

/// All prices: 4 shops at a time, each in no more than a second.
async fn prices(rt: &Runtime, tasks: &TaskRef) -> Vec<String> {
    let handle = rt.handle();
    let mut all = tasks
        .map_iter(0..8_u64, move |shop| price(handle.clone(), shop))
        .at_once(4)
        .timeout(Duration::from_secs(1))
        .kill_on_timeout();
    let mut lines = Vec::new();
    while let Some(price) = all.next().await {
        lines.push(match price {
            Ok(price) => price.to_string(),
            Err(error) if error.reason().is::<TaskTimeout>() => "late".to_owned(),
            Err(error) => match error.reason() {
                ExitReason::Panic(panic) => format!("failed: {}", panic.message()),
                reason => format!("failed: {reason}"),
            },
        });
    }
    lines
}

/// The shop that is first to answer; the others are killed when their time is over.
async fn fastest(rt: &Runtime, tasks: &TaskRef) -> Option<u64> {
    let mut asked: Vec<_> =
        [3, 2, 1].map(|shop| tasks.spawn(price(rt.handle(), shop))).into_iter().collect();
    let first = YieldMany::within(Duration::from_secs(1)).limit(1);
    let given = yield_many(&mut asked, first).await;
    let fastest = given.into_iter().flatten().find_map(Result::ok);
    let rest = YieldMany::within(Duration::ZERO).on_timeout(OnTimeout::Kill);
    yield_many(&mut asked, rest).await;
    assert!(asked.iter().all(|task| !rt.is_alive(task.pid())));
    fastest
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The panic is a result here: its report would only be in the way.
    std::panic::set_hook(Box::new(|_| {}));
    let rt = Runtime::simulated(1)?;
    rt.block_on(async {
        let tasks = TaskSupervisor::new().max_children(100).start(&rt).await?;
        let lines = prices(&rt, &tasks).await;
        println!("{}", lines.join("\n"));
        let expected =
            ["100", "101", "102", "late", "104", "failed: shop 5 is on fire", "106", "107"];
        assert_eq!(lines, expected);
        assert!(rt.uptime() < Duration::from_secs(2), "the slow shop holds up its own place only");

        let fastest = fastest(&rt, &tasks).await;
        println!("the fastest has {fastest:?}");
        assert_eq!(fastest, Some(101));
        assert_eq!(tasks.count(), 0);
        Ok::<_, Box<dyn std::error::Error>>(())
    })
}
