//! What a handler holds while it waits moves between workers.

use std::{rc::Rc, time::Duration};

use whitebeam_actor::{Actor, Context, ExitReason};

struct Counter;

impl Actor for Counter {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter)
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let held = Rc::new(0);
        cx.runtime().sleep(Duration::from_secs(1)).await;
        drop(held);
        Ok(())
    }
}

fn main() {}
