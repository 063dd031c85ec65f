//! What is started must be an actor.

use whitebeam_actor::Runtime;

struct Counter;

fn main() {
    let rt = Runtime::new().unwrap();
    rt.spawn::<Counter>(());
}
