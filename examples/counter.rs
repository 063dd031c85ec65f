//! An actor, whole: state, messages, a cast that never waits and a call that waits for its reply.
//!
//! Run it with `cargo run --release --example counter`. It prints nothing: the assertion is its
//! result.

use whitebeam::prelude::*;

struct Counter {
    total: i64,
}

enum Msg {
    Add(i64),
    Get(Reply<i64>),
}

impl Actor for Counter {
    type Args = i64; // what it is started with; a supervisor keeps it for restarts
    type Msg = Msg;

    async fn init(start: i64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter { total: start })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Add(n) => self.total += n,
            Msg::Get(reply) => reply.send(self.total),
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rt = Runtime::new()?;
    rt.block_on(async {
        let counter = rt.start::<Counter>(40).await?; // returns after init
        counter.cast(Msg::Add(2))?; // never waits
        assert_eq!(counter.call(Msg::Get).await?, 42); // 5 s timeout by default
        Ok(())
    })
}
