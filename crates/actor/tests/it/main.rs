//! What a process does, as its users see it: one program, since each program of tests has to be linked. Beside it are
//! those that look at their whole process (allocators, memory, threads, hooks, `tracing`'s subscriber) or are run alone.

#[path = "../support/mod.rs"]
mod support;

mod aliases;
mod blocking;
mod bounded;
mod bounded_mixed;
mod bounded_oldest;
mod bounded_storm;
mod bounded_waiting;
mod calls;
mod children;
mod deadlocks;
mod deadlocks_random;
mod ends;
mod events;
mod exits;
mod fairness;
mod idle;
mod inspect;
mod inspect_diagnose;
mod inspect_runtime;
mod inspect_watch;
mod links;
mod mailbox;
mod many_relations;
mod meetings;
mod monitors;
mod names;
mod names_typed;
mod names_users_code;
mod names_via;
mod narrow;
mod node_links;
mod not_there;
mod panics;
mod pipes;
mod prepared;
mod priority;
mod process_form;
mod process_mixed;
mod processes;
mod requests;
mod server_features;
mod servers;
mod shutdown;
mod simulation;
mod sizes;
mod soundness;
mod starts;
mod streams;
mod timers;
mod timers_later;
mod unread;
mod watermark;
