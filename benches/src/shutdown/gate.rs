//! Where handlers wait: they call, and are answered all at once when the gate opens.

use whitebeam::{Actor, Context, ExitReason, Reply};

/// Messages of the gate.
#[derive(Debug)]
pub(crate) enum Gate {
    /// Answer when the gate opens.
    Wait(Reply<()>),
    /// Answer when so many wait.
    Full(u64, Reply<()>),
    /// Let all go.
    Open,
}

/// Keeps those who wait.
#[derive(Default)]
pub(crate) struct Keeper {
    waiting: Vec<Reply<()>>,
    /// How many are to come, and who wants to know.
    full: Option<(u64, Reply<()>)>,
}

impl Actor for Keeper {
    type Args = ();
    type Msg = Gate;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self::default())
    }

    async fn handle(&mut self, msg: Gate, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Gate::Wait(reply) => self.waiting.push(reply),
            Gate::Full(count, reply) => self.full = Some((count, reply)),
            Gate::Open => self.waiting.drain(..).for_each(|reply| reply.send(())),
        }
        if self.full.as_ref().is_some_and(|(count, _)| self.waiting.len() as u64 >= *count)
            && let Some((_, reply)) = self.full.take()
        {
            reply.send(());
        }
        Ok(())
    }
}
