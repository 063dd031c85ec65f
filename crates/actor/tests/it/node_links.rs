//! Rules about processes on several nodes. Whitebeam has one node: each is ignored until there are more, and fails
//! when it is run.
//!
//! Spawn requests are among them: a spawn on the own node is done when it returns, so there is no request that could
//! be waited for, taken back or abandoned.

/// There is nothing yet that could hold it.
fn needs_node_links(rule: &str) -> ! {
    panic!("there are no node links: {rule}")
}

#[test]
#[ignore = "needs node links"]
fn proc_035_a_spawn_request_is_answered_before_its_down() {
    needs_node_links(
        "a process that is spawned on another node: the reply to the request comes before its DOWN and EXIT",
    );
}

#[test]
#[ignore = "needs node links"]
fn proc_036_a_monitor_of_a_spawn_request_begins_with_its_reply() {
    needs_node_links("a monitor of a spawn request can be taken back from the reply on");
}

#[test]
#[ignore = "needs node links"]
fn proc_038_a_remote_child_hears_of_its_parent_or_of_the_lost_link() {
    needs_node_links(
        "a child on another node gets its parent's EXIT or NoConnection, never nothing",
    );
}

#[test]
#[ignore = "needs node links"]
fn proc_039_a_spawn_request_is_abandoned() {
    needs_node_links(
        "a spawn request that is abandoned in time gives no reply, and no linked child that lives on",
    );
}

#[test]
#[ignore = "needs node links"]
fn proc_040_a_spawn_request_is_answered_as_its_policy_says() {
    needs_node_links("a spawn request is answered in the cases that its policy names");
}

#[test]
#[ignore = "needs node links"]
fn link_013_a_lost_node_breaks_links() {
    needs_node_links("a lost connection is an EXIT with NoConnection to who traps exits");
}

#[test]
#[ignore = "needs node links"]
fn link_014_a_lost_node_ends_who_does_not_trap() {
    needs_node_links("a lost connection ends a linked process that does not trap exits");
}

#[test]
#[ignore = "needs node links"]
fn link_015_a_link_to_a_lost_node_ends_who_does_not_trap() {
    needs_node_links("a link to a process of a lost node acts as NoConnection");
}

#[test]
#[ignore = "needs node links"]
fn link_016_an_exit_signal_gets_through_a_full_channel() {
    needs_node_links("an exit signal waits for a full channel and gets through");
}

#[test]
#[ignore = "needs node links"]
fn mon_008_a_lost_node_is_a_down_that_demonitor_leaves() {
    needs_node_links("a DOWN with NoConnection that has come stays after a plain demonitor");
}

#[test]
#[ignore = "needs node links"]
fn mon_009_a_monitor_taken_back_does_not_see_the_node_go() {
    needs_node_links("a monitor that was taken back gives no DOWN when its node goes");
}

#[test]
#[ignore = "needs node links"]
fn mon_012_demonitor_says_whether_a_remote_down_has_come() {
    needs_node_links(
        "what demonitor says and what is in the mailbox agree, for processes of another node",
    );
}

#[test]
#[ignore = "needs node links"]
fn mon_018_a_lost_node_is_a_down() {
    needs_node_links("a lost connection is a DOWN with NoConnection");
}

#[test]
#[ignore = "needs node links"]
fn mon_019_a_monitor_of_a_lost_node_fires_at_once() {
    needs_node_links("a monitor of a process of a lost node fires with NoConnection");
}

#[test]
#[ignore = "needs node links"]
fn mon_037_order_from_another_node_whatever_the_address() {
    needs_node_links(
        "messages by pid, name and alias from another node arrive in order, the DOWN last",
    );
}

#[test]
#[ignore = "needs node links"]
fn sig_002_nothing_behind_an_exit_signal_from_another_node() {
    needs_node_links("what another node sends behind its exit signal is never handled");
}

#[test]
#[ignore = "needs node links"]
fn sig_017_no_signal_is_lost_while_the_channel_lives() {
    needs_node_links("exit, DOWN and demonitor signals get through a channel that was full");
}

#[test]
#[ignore = "needs node links"]
fn sig_018_nothing_comes_after_the_node_has_gone() {
    needs_node_links("no message of a node comes behind the event of its end");
}

#[test]
#[ignore = "needs node links"]
fn srv_016_a_server_of_another_node_is_stopped() {
    needs_node_links(
        "a server of another node is stopped; when its node is gone that is the error",
    );
}

#[test]
#[ignore = "needs node links"]
fn srv_025_a_call_to_a_lost_node() {
    needs_node_links("a call to a lost or unknown node is an error that names it");
}

#[test]
#[ignore = "needs node links"]
fn srv_044_a_cast_does_not_wait_for_the_network() {
    needs_node_links("a cast to a node that does not answer returns at once");
}

#[test]
#[ignore = "needs node links"]
fn srv_048_a_cast_to_a_name_on_several_nodes() {
    needs_node_links("a cast to a name on several nodes reaches those that are there");
}

#[test]
#[ignore = "needs node links"]
fn srv_049_a_call_to_a_name_on_several_nodes() {
    needs_node_links("a call to a name on several nodes gives the replies and who gave none");
}
