//! Tests of the idle side: the transitions one by one; `loom_idle` is the model.

#[cfg(loom)]
mod loom_idle;

#[cfg(not(loom))]
mod transitions {
    use super::super::{Idle, Rest, Wake};

    #[test]
    fn first_to_rest_is_the_sentinel_and_the_others_sleep() {
        let idle = Idle::new(3);
        assert_eq!(idle.active_workers(), 3);
        assert_eq!(idle.rest(2), Rest::Sentinel);
        assert_eq!(idle.rest(0), Rest::Asleep);
        assert_eq!(idle.rest(1), Rest::Asleep);
        assert!(idle.is_asleep(0) && idle.is_asleep(1) && !idle.is_asleep(2));
        assert_eq!(idle.active_workers(), 0);
    }

    #[test]
    fn a_searching_sentinel_makes_sends_free() {
        let idle = Idle::new(2);
        assert_eq!(idle.look(), Wake::Nobody, "all are active");
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.rest(1), Rest::Asleep);
        assert_eq!(idle.look(), Wake::Nobody);
        assert_eq!(idle.look_after_push(), Wake::Nobody);
    }

    #[test]
    fn only_outside_sends_call_a_napping_sentinel_and_only_once() {
        let idle = Idle::new(2);
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.nap(), 1);
        assert_eq!(idle.look(), Wake::Nobody);
        assert_eq!(idle.look_after_push(), Wake::Call);
        assert!(idle.notify(Wake::Call));
        assert!(!idle.notify(Wake::Call), "it was called already");
        assert_eq!(idle.look_after_push(), Wake::Nobody);
        idle.park(0, None); // has the token
        idle.rise();
    }

    #[test]
    fn a_vacant_post_is_filled_by_who_slept_last() {
        let idle = Idle::new(3);
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.rest(1), Rest::Asleep);
        assert_eq!(idle.rest(2), Rest::Asleep);
        assert!(idle.leave(), "nobody else is active: the post may be vacant, and somebody sleeps");
        assert_eq!(idle.look(), Wake::Recruit);
        assert_eq!(idle.look_after_push(), Wake::Recruit);
        assert!(idle.recruit());
        assert!(idle.is_asleep(1) && !idle.is_asleep(2));
        assert!(!idle.recruit(), "there is a sentinel again");
        idle.park(2, None); // has the token
    }

    #[test]
    fn a_sentinel_leaves_to_a_successor_while_others_are_active() {
        let idle = Idle::new(3);
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.rest(1), Rest::Asleep);
        assert!(!idle.leave(), "worker 2 is active, so worker 1 took over");
        assert!(!idle.is_asleep(1));
        assert_eq!(idle.look(), Wake::Nobody);
        assert!(!idle.leave(), "nobody sleeps any more");
        assert_eq!(idle.active_workers(), 3);
    }

    #[test]
    fn a_sleeper_volunteers_for_a_vacant_post_only() {
        let idle = Idle::new(2);
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.rest(1), Rest::Asleep);
        assert!(!idle.volunteer(1));
        assert!(idle.is_asleep(1));
        assert!(idle.leave());
        assert!(idle.volunteer(1));
        assert!(!idle.is_asleep(1));
        assert!(idle.volunteer(1), "it is the sentinel already");
    }

    #[test]
    fn a_spare_counts_from_when_it_joins_until_it_parts() {
        let idle = Idle::with_spares(1, 1);
        assert_eq!(idle.active_workers(), 1);
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.nap(), 0, "the spare is absent");
        idle.join();
        idle.park(0, None); // has the token: it must not nap for good any more
        idle.rise();
        assert_eq!(idle.nap(), 1);
        idle.rise();
        idle.part();
        assert_eq!(idle.active_workers(), 0);
        assert_eq!(idle.nap(), 0);
        idle.rise();
    }

    #[test]
    fn a_spare_that_sleeps_is_roused_to_part() {
        let idle = Idle::with_spares(2, 1);
        idle.join();
        assert_eq!(idle.rest(0), Rest::Sentinel);
        assert_eq!(idle.rest(2), Rest::Asleep);
        assert!(idle.rouse(2));
        assert!(!idle.is_asleep(2));
        assert_eq!(idle.active_workers(), 2);
        idle.part();
        assert_eq!(idle.active_workers(), 1);

        idle.join();
        assert_eq!(idle.rest(2), Rest::Asleep);
        assert!(!idle.leave(), "worker 1 is active, so the spare took over");
        assert!(!idle.rouse(2), "it is the sentinel");
        assert!(!idle.leave());
        idle.part();
        assert_eq!(idle.active_workers(), 2);
        idle.unpark(2);
        idle.park(2, None); // two tokens are one
    }
}
