//! A start whose failure nobody would hear of; a message whose refusal nobody looks at.
#![deny(unused_must_use)]

use whitebeam_actor::{Actor, Context, ExitReason, Reply};

struct Counter;

enum Msg {
    Get(Reply<u64>),
}

impl Actor for Counter {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter)
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Get(reply) => reply.send(1),
        }
        Ok(())
    }
}

fn main() {
    let rt = whitebeam_actor::Runtime::new().unwrap();
    rt.start::<Counter>(());
    let counter = rt.spawn::<Counter>(());
    let (reply, _answer) = whitebeam_actor::oneshot();
    counter.cast(Msg::Get(reply));
    rt.down(&counter);
}
