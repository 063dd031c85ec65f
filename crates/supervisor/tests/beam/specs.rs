//! The specs of a scenario's tree on Whitebeam.

use std::{sync::Arc, time::Duration};

use whitebeam_actor::{ChildRef, SpawnOptions, StartInfo};
use whitebeam_supervisor::{Child, Intensity, Supervisor, SupervisorFn, SupervisorRef};

use crate::{
    actors::{Addresses, Msg, Worker, World, begin},
    scenario::{Id, Node, Stops, Strategy, What},
};

/// Longer than any time that passes in a scenario, as in the script.
const PERIOD: Duration = Duration::from_secs(3_600);

/// A child's spec, whichever it is of.
pub(crate) enum Made {
    Worker(Child<ChildRef<Msg>>),
    Supervisor(Child<SupervisorRef>),
}

/// The spec of a child.
pub(crate) fn child(world: &Arc<World>, node: &Node, addresses: &mut Addresses) -> Made {
    let id = node.id;
    match node.what {
        What::Worker { stops, .. } => {
            let args = (Arc::clone(world), id);
            let child = match stops {
                Stops::Plainly => Child::new::<Worker<false>>(id, args),
                Stops::Crashes | Stops::Hangs | Stops::Holds => {
                    Child::new::<Worker<true>>(id, args)
                }
            };
            addresses.workers.insert(id, child.handle().clone());
            Made::Worker(with_settings(child, node))
        }
        What::Supervisor { is_made, .. } => {
            let child = if is_made {
                Child::nested(id, made(world, id))
            } else {
                Child::nested(id, spec(world, id, addresses))
            };
            addresses.supervisors.insert(id, child.handle().clone());
            Made::Supervisor(with_settings(child, node))
        }
    }
}

fn with_settings<H>(child: Child<H>, node: &Node) -> Child<H> {
    let child = child.restart(node.restart).shutdown(node.shutdown).options(label(node.id));
    if node.significant { child.significant() } else { child }
}

fn label(id: Id) -> SpawnOptions {
    SpawnOptions::new().label(id.to_string())
}

/// The spec of a supervisor, with all below it.
pub(crate) fn spec(world: &Arc<World>, id: Id, addresses: &mut Addresses) -> Supervisor {
    let What::Supervisor { strategy, intensity, auto_shutdown, .. } = world.scenario.node(id).what
    else {
        panic!("{id} is a supervisor")
    };
    let tree = match strategy {
        Strategy::OneForOne => Supervisor::one_for_one(),
        Strategy::OneForAll => Supervisor::one_for_all(),
        Strategy::RestForOne => Supervisor::rest_for_one(),
    };
    let mut tree = tree
        .with_intensity(Intensity::Limited { restarts: intensity, period: PERIOD })
        .auto_shutdown(auto_shutdown)
        .options(label(id));
    for node in world.scenario.children(id) {
        match child(world, node, addresses) {
            Made::Worker(child) => drop(tree.child_with(child)),
            Made::Supervisor(child) => drop(tree.child_with(child)),
        }
    }
    tree
}

pub(crate) fn made(world: &Arc<World>, id: Id) -> SupervisorFn {
    let world = Arc::clone(world);
    let make = move |_: &StartInfo| {
        begin(world.begins(id))?;
        let mut addresses = Addresses::default();
        let tree = spec(&world, id, &mut addresses);
        world.has_taken(addresses);
        Ok(tree)
    };
    SupervisorFn::new(make).options(label(id))
}
