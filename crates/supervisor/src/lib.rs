//! Supervisors for Whitebeam's actors, with the semantics of Erlang/OTP.
//!
//! | supervisor | children | stops them |
//! | --- | --- | --- |
//! | [`Supervisor`] | of any kinds, each by its id, started in order | in reverse order |
//! | [`DynamicSupervisor`] | any number, of one kind or of any, started and ended at run time | all at once |
//! | [`PartitionSupervisor`] | a fixed number of one spec, found by a key | all at once |
//! | [`PartitionedDynamic`] | dynamic supervisors in partitions: two tiers | both tiers at once |
//! | [`TaskSupervisor`] | tasks: work that is done once and gives a result | all at once |
//!
//! A supervisor is described by a value, checked when it is started, and is an actor of its own:
//! its handle can be cast about, monitored and told to exit as any other's. A supervisor can be the
//! child of another one ([`Child::nested`]).
//!
//! ```
//! use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
//! use whitebeam_supervisor::{DynamicSupervisor, Partitions};
//!
//! struct Shape { name: String }
//! struct Name(Reply<String>);
//!
//! impl Actor for Shape {
//!     type Args = String;
//!     type Msg = Name;
//!     async fn init(name: String, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
//!         Ok(Shape { name })
//!     }
//!     async fn handle(&mut self, Name(reply): Name, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
//!         reply.send(self.name.clone());
//!         Ok(())
//!     }
//! }
//!
//! let rt = Runtime::builder().workers(2).build()?;
//! rt.block_on(async {
//!     let shapes = DynamicSupervisor::<Shape>::temporary()
//!         .partitions(Partitions::for_children(20_000))
//!         .start(&rt)
//!         .await?;
//!     assert_eq!(shapes.len(), 5);
//!     let shape = shapes.start_child("circle", "circle".to_owned()).await?;
//!     assert_eq!(shape.call(Name).await?, "circle");
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod child;
mod dynamic;
mod error;
mod guard;
mod intensity;
mod partition;
mod partitioned;
mod partitions;
mod policy;
mod route;
mod start_tree;
mod stop_all;
mod supervisor;
mod task;
mod tree;

pub use child::{Child, ChildId, ChildKind, Nested};
pub use dynamic::{Any, DynamicRef, DynamicSupervisor, Sort, StartMany, TerminateChild};
pub use error::{ChildError, ChildFailed, FailedToStart, ResizeError, SpecError};
pub use intensity::Intensity;
pub use partition::{PartitionRef, PartitionSupervisor};
pub use partitioned::{PartitionedDynamic, PartitionedRef};
pub use partitions::{CHILDREN_PER_PARTITION, PARTITIONS_VARIABLE, Partitions};
pub use policy::{AutoShutdown, Restart, Shutdown};
pub use start_tree::StartTree;
pub use supervisor::{
    ChildCounts, ChildEntry, ChildSpec, ChildState, Supervisor, SupervisorFn, SupervisorRef,
};
pub use task::{
    NotOwner, OnTimeout, Task, TaskMap, TaskRef, TaskSupervisor, TaskTimeout, ThisTask, YieldMany,
    await_many, yield_many,
};
pub use tree::{
    NodeCounts, NodeKind, NodeState, StopPlan, StopStep, StopTime, StopWarning, SupervisionNode,
    SupervisionTree, TreeWalk,
};

/// What most programs with supervisors use.
pub mod prelude {
    pub use crate::{
        AutoShutdown, Child, ChildError, DynamicRef, DynamicSupervisor, Intensity, PartitionRef,
        PartitionSupervisor, PartitionedDynamic, PartitionedRef, Partitions, Restart, Shutdown,
        Supervisor, SupervisorRef, Task, TaskRef, TaskSupervisor,
    };
    pub use whitebeam_actor::ChildRef;
}
