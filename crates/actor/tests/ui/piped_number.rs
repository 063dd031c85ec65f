//! What is piped is a future or a call.

use whitebeam_actor::{Actor, Context, ExitReason};

struct Adder;

enum Msg {
    Add(i64),
}

impl Actor for Adder {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.pipe(5_i64, Msg::Add);
        Ok(Adder)
    }

    async fn handle(&mut self, _: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {}
