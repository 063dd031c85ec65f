//! Rules about what Whitebeam does not have, or not yet. Each is ignored with the reason, and fails when it is run.

/// There is nothing that could hold it.
fn not_there(rule: &str) -> ! {
    panic!("not there: {rule}")
}

#[test]
#[ignore = "processes cannot be suspended"]
fn proc_032_a_suspended_process_is_killed() {
    not_there("a process that is suspended by a debugger dies of a kill at once");
}

#[test]
#[ignore = "no store beside the actor's own state"]
fn proc_044_a_store_of_the_process() {
    not_there("a process has a store of its own");
}

#[test]
#[ignore = "a process does not turn into a server: its own init is the actor's"]
fn srv_050_a_process_turns_into_a_server() {
    not_there("a plain process goes over into a server's loop");
}

#[test]
#[ignore = "no debug interface: a state is asked for by a message"]
fn srv_055_the_state_of_a_suspended_server() {
    not_there("the state is shown, also of a suspended server");
}

#[test]
#[ignore = "no debug interface: a state is replaced by a message"]
fn srv_056_the_state_is_replaced() {
    not_there("a state is replaced by a function; a panic leaves the old one");
}
