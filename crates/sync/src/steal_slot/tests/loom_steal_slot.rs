//! The model of the swapping form: each content comes out once, and carries its memory.

use super::super::{StealSlot, Stolen};
use super::content;
use crate::shim::{Arc, thread};

#[test]
fn owner_and_thief_share_two_contents() {
    loom::model(|| {
        let slot = Arc::new(StealSlot::new(None));
        let other = Arc::clone(&slot);
        let thief = thread::spawn(move || match other.steal() {
            Stolen::Taken(content) => content.addr().get(),
            Stolen::Empty | Stolen::Refused => 0,
        });
        // SAFETY: this thread is the owner.
        let own = |taken: Option<std::ptr::NonNull<()>>| taken.map_or(0, |c| c.addr().get());
        // SAFETY: this thread is the owner.
        let first = own(unsafe { slot.replace(content(1)) });
        // SAFETY: this thread is the owner.
        let second = own(unsafe { slot.replace(content(2)) });
        // SAFETY: this thread is the owner.
        let third = own(unsafe { slot.take() });
        let stolen = thief.join().unwrap();
        assert_eq!(first, 0);
        assert_eq!(second + third + stolen, 3, "1 and 2 each came out once");
    });
}
