#![doc = include_str!("../../../README.md")]
#![forbid(unsafe_code)]

pub use whitebeam_actor::*;
pub use whitebeam_supervisor::*;

/// What most programs use: `use whitebeam::prelude::*;`.
pub mod prelude {
    pub use whitebeam_actor::{
        Actor, ActorRef, CallError, Context, Down, Exit, ExitError, ExitReason, Handle, Mailbox,
        Pid, Reply, Runtime, SendError, SpawnOptions, StartError,
    };
    pub use whitebeam_supervisor::prelude::*;
}
