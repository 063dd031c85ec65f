//! A context is lent to a handler, and cannot be kept beyond it.

use whitebeam_actor::{Actor, Context, ExitReason};

struct Counter {
    cx: Option<&'static mut Context<Counter>>,
}

impl Actor for Counter {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter { cx: None })
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.cx = Some(cx);
        Ok(())
    }
}

fn main() {}
