//! Memory that will be looked at soon, asked for ahead of time.
//!
//! A walk through things that are far apart waits for one line after another, a hundred nanoseconds each. Asked for some
//! steps ahead they come while others are worked on. It is worth its instruction only where lines are really cold.

/// Asks for the line at this address, to be written to. A hint: any address will do, whatever is there.
#[inline(always)]
pub fn prefetch<T: ?Sized>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: the instruction touches no memory as far as the program can see, and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
    let _ = at;
}
