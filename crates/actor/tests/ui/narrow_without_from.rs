//! An address is narrowed to what its messages can be made of.

use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Reply};

struct Counter;

enum Msg {
    Get(Reply<u64>),
}

struct Stranger;

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
    let counter = rt.spawn::<Counter>(());
    let _: ActorRef<Stranger> = counter.narrow::<Stranger>();
}
