//! A time limit is a `Duration`, and none is negative.

use whitebeam_actor::{Actor, Context, ExitReason};

struct Idle;

impl Actor for Idle {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Idle)
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {
    let rt = whitebeam_actor::Runtime::new().unwrap();
    let idle = rt.spawn::<Idle>(());
    let _ = rt.stop(&idle, ExitReason::Normal).timeout(-1);
}
