//! What is monitored is a process or a name, and the two are told apart.

use whitebeam_actor::{Actor, Context, Down, ExitReason};

struct Watcher;

impl Actor for Watcher {
    type Args = ();
    type Msg = Down;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.monitor(17, |down| down);
        Ok(Watcher)
    }

    async fn handle(&mut self, _: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {}
