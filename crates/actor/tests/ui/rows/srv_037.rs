//! A request is added to a collection once.

use whitebeam_actor::{ActorRef, Call, Reply};

enum Msg {
    Get(Reply<u32>),
}

fn twice(server: &ActorRef<Msg>) {
    let mut requests: Vec<Call<'static, Msg, u32>> = Vec::new();
    let request = server.call(Msg::Get).owned();
    requests.push(request);
    requests.push(request);
}

fn main() {}
