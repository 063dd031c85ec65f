//! What the kernel knows of this process: resident memory, CPU time, its cores; and pinning a
//! thread to one.
//!
//! Everything answers `None` (or does nothing) where the system has no such thing: the harness
//! builds and runs there, without the figures that need it.

use std::fs;
use std::time::Duration;

/// Memory of this process that is in RAM now, in bytes.
///
/// From `smaps_rollup`, which walks the pages and is exact; the counters behind `status` lag by up
/// to some hundred KiB per core.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    kib_field(&text, "Rss:").map(|kib| kib * 1024)
}

/// The number in a line such as `Rss:      1234 kB`.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].split_whitespace().next()?.parse().ok()
}

/// CPU time used by all threads of this process since it started, those that have ended included.
///
/// Counted in nanoseconds by the kernel; `/proc/self/stat` would round to its tick of 10 ms, more
/// than a whole idle run is allowed to use.
pub(crate) fn cpu_time() -> Option<Duration> {
    system::cpu_time()
}

/// The cores this process may run on, in ascending order; empty where the system does not say.
pub(crate) fn allowed_cores() -> Vec<usize> {
    system::allowed_cores()
}

/// Binds the calling thread to one core. False when the system refuses.
pub(crate) fn pin_to_core(core: usize) -> bool {
    system::pin_to_core(core)
}

/// Lets the calling thread's short sleeps end on time instead of up to 50 us late.
pub(crate) fn sleep_precisely() {
    system::sleep_precisely();
}

/// Has the program's allocator give back what it holds for the calling thread without need.
pub(crate) fn collect() {
    allocator::collect();
}

#[cfg(not(feature = "system-allocator"))]
#[expect(unsafe_code, reason = "a function of the allocator's that its crate does not offer")]
mod allocator {
    unsafe extern "C" {
        /// Of the mimalloc that the global allocator is.
        fn mi_collect(force: bool);
    }

    pub(super) fn collect() {
        // SAFETY: it may be called by any thread at any time; memory in use is left alone.
        unsafe { mi_collect(true) };
    }
}

#[cfg(all(feature = "system-allocator", target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a system call that std does not offer")]
mod allocator {
    pub(super) fn collect() {
        // SAFETY: it may be called by any thread at any time; memory in use is left alone.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(all(feature = "system-allocator", not(all(target_os = "linux", target_env = "gnu"))))]
mod allocator {
    pub(super) fn collect() {}
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "system calls that std does not offer")]
mod system {
    use std::mem;
    use std::time::Duration;

    pub(super) fn cpu_time() -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec that lives over the call, which only writes to it.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        let seconds = u64::try_from(time.tv_sec).ok()?;
        let nanos = u32::try_from(time.tv_nsec).ok()?;
        (failed == 0).then(|| Duration::new(seconds, nanos))
    }

    pub(super) fn allowed_cores() -> Vec<usize> {
        let mut set = empty_set();
        // SAFETY: `set` is a valid cpu_set_t of the size given; the call only writes to it. Pid 0:
        // this thread.
        let failed = unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &raw mut set) };
        if failed != 0 {
            return Vec::new();
        }
        let most = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        // SAFETY: every index is below CPU_SETSIZE, the number of bits in a cpu_set_t.
        (0..most).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
    }

    pub(super) fn pin_to_core(core: usize) -> bool {
        if usize::try_from(libc::CPU_SETSIZE).is_ok_and(|most| core >= most) {
            return false;
        }
        let mut set = empty_set();
        // SAFETY: `core` is below CPU_SETSIZE, checked above.
        unsafe { libc::CPU_SET(core, &mut set) };
        // SAFETY: `set` is a valid cpu_set_t of the size given; the call only reads it. Pid 0: this
        // thread.
        unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set) == 0 }
    }

    pub(super) fn sleep_precisely() {
        // SAFETY: PR_SET_TIMERSLACK takes one integer by value and touches no memory of ours. A
        // refusal leaves the usual slack, which costs precision only.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    }

    fn empty_set() -> libc::cpu_set_t {
        // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is the empty set.
        unsafe { mem::zeroed() }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Duration;

    pub(super) fn cpu_time() -> Option<Duration> {
        None
    }

    pub(super) fn allowed_cores() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn pin_to_core(_core: usize) -> bool {
        false
    }

    pub(super) fn sleep_precisely() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_proc_is_found_by_its_name() {
        let text = "00400000-7ffe ---p [rollup]\nRss:        1508 kB\nPss:         300 kB\n";
        assert_eq!(kib_field(text, "Rss:"), Some(1508));
        assert_eq!(kib_field(text, "Swap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn touching_memory_shows_in_the_resident_size() {
        let before = resident_bytes().expect("proc is there");
        let block = vec![1_u8; 256 << 20];
        let after = resident_bytes().expect("proc is there");
        assert!(block.iter().all(|&b| b == 1));
        // The tests beside this one give back what they had, which is far from the half of it.
        assert!(after >= before + (128 << 20), "{before} -> {after}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_grows_with_work_and_only_with_work() {
        let before = cpu_time().expect("clock is there");
        let mut sum = 0_u64;
        while cpu_time().expect("clock is there") < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_can_be_pinned_to_an_allowed_core_only() {
        let cores = allowed_cores();
        assert!(!cores.is_empty());
        let pinned =
            std::thread::spawn(move || pin_to_core(cores[0]) && allowed_cores() == cores[..1]);
        assert!(pinned.join().expect("the thread ends"));
        assert!(!pin_to_core(1 << 20));
    }
}
