//! What is no timer is neither cancelled nor read.

use whitebeam_actor::{Actor, Context, ExitReason, MonitorRef};

struct Clock(MonitorRef);

impl Actor for Clock {
    type Args = MonitorRef;
    type Msg = ();

    async fn init(monitor: MonitorRef, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Clock(monitor))
    }

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
        cx.cancel(7);
        cx.time_left(self.0);
        Ok(())
    }
}

fn main() {}
