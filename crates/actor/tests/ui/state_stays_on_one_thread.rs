//! Processes move between workers, with all that they hold.

use std::rc::Rc;

use whitebeam_actor::{Actor, Context, ExitReason};

struct Counter(Rc<u64>);

impl Actor for Counter {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter(Rc::new(0)))
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {}
