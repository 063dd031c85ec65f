//! Names, labels, and whom a process is related to.

use crate::support;

use support::{
    everywhere,
    puppet::{Do, Event, Events, Plain, Script, ask, assert_because, because, down, now, plain},
};
use whitebeam_actor::{ActorRef, ExitReason, Handle, NameError, Pid, Relations, SpawnOptions};

async fn end(rt: &Handle, puppet: &ActorRef<Do<false>>, reason: ExitReason) {
    let gone = rt.down(puppet);
    puppet.cast(now(move |_| Err(reason))).expect("cast");
    gone.await;
}

/// Waits until what was sent has arrived and the lists are these: links, monitors, monitored by. The deadline is
/// that of the whole test.
async fn related(rt: &Handle, of: &ActorRef<Do<false>>, lists: [&[Pid]; 3]) {
    let lists = lists.map(|list| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    });
    loop {
        let Relations { links, monitors, monitored_by, .. } =
            rt.relations(of).await.expect("alive");
        if [links, monitors, monitored_by] == lists {
            return;
        }
        rt.sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[test]
fn proc_012_a_registered_process_has_its_name() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        assert_eq!(rt.info(&p).expect("alive").name, None);
        rt.register("n", &p).expect("register");
        assert_eq!(rt.info(&p).expect("alive").name, Some("n".into()));
        assert_eq!(rt.whereis("n"), Some(p.pid()));
        assert!(rt.unregister("n") && !rt.unregister("n"));
        assert_eq!((rt.info(&p).expect("alive").name, rt.whereis("n")), (None, None));
    });
}

#[test]
fn proc_023_a_name_is_not_given_to_the_dead() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        end(&rt, &p, ExitReason::Normal).await;
        // Its cell is kept by the address, then it is not.
        assert_eq!(rt.register("n", &p), Err(NameError::NoProc));
        let pid = p.pid();
        drop(p);
        assert_eq!(rt.register("n", pid), Err(NameError::NoProc));
        assert_eq!(rt.whereis("n"), None);
        let q = plain(&rt).await;
        rt.register("n", &q).expect("it is free");
    });
}

/// The choice of OTP: one name a process.
#[test]
fn proc_025_a_process_has_one_name() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        rt.register("a", &p).expect("register");
        assert_eq!(rt.register("b", &p), Err(NameError::HasName("a".into())));
        assert_eq!(rt.register("a", &p), Err(NameError::Taken(p.pid())));
        assert_eq!((rt.whereis("a"), rt.whereis("b")), (Some(p.pid()), None));
        // One that it was started with counts, and both kinds go with it.
        let options = SpawnOptions::new().name("c");
        let q = rt.with(options).start::<Plain>(Script::new()).await.expect("start");
        assert_eq!(rt.register("d", &q), Err(NameError::HasName("c".into())));
        end(&rt, &p, ExitReason::Normal).await;
        end(&rt, &q, ExitReason::Normal).await;
        assert_eq!((rt.whereis("a"), rt.whereis("c")), (None, None));
    });
}

/// Whoever gives names to a process that ends at this very moment: none is left.
#[test]
fn a_name_given_at_the_end_is_not_left() {
    everywhere(|rt| async move {
        for _ in 0..support::scaled(200, 20) {
            let p = plain(&rt).await;
            let gone = rt.down(&p);
            p.cast(now(|_| Err(because("x")))).expect("cast");
            let given = rt.register("n", &p);
            assert!(matches!(given, Ok(()) | Err(NameError::NoProc)), "{given:?}");
            gone.await;
            assert_eq!(rt.whereis("n"), None);
        }
    });
}

#[test]
fn proc_046_a_label_is_seen_from_outside() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        assert_eq!(rt.info(&p).expect("alive").label, None);
        let own = ask(&p, |cx| {
            cx.set_label("first");
            cx.set_label("second");
            cx.runtime().info(cx.pid()).expect("alive").label
        })
        .await;
        assert_eq!(own, Some("second".into()));
        assert_eq!(rt.info(&p).expect("alive").label, own);
        assert_eq!(rt.whereis("second"), None, "nobody is found by it");
        end(&rt, &p, ExitReason::Normal).await;
        assert!(rt.info(&p).is_none());
    });
}

#[test]
fn proc_049_options_are_in_force_from_the_first_step() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let script = Script::new().init_now(move |cx| {
            let info = cx.runtime().info(cx.pid()).expect("alive");
            let both = (info.name, info.label) == (Some("n".into()), Some("l".into()));
            told.send(Event::Note(u64::from(both)));
            Ok(())
        });
        let options = SpawnOptions::new().name("n").label("l");
        let p = rt.with(options).start::<Plain>(script).await.expect("start");
        assert_eq!(events.note().await, 1);
        let info = rt.info(&p).expect("alive");
        assert_eq!((info.name, info.label), (Some("n".into()), Some("l".into())));
    });
}

#[test]
fn proc_019_links_and_monitors_are_listed_at_both_ends() {
    everywhere(|rt| async move {
        let [p, a, b, c, d] = [
            plain(&rt).await,
            plain(&rt).await,
            plain(&rt).await,
            plain(&rt).await,
            plain(&rt).await,
        ];
        let events = Events::new();
        let (to_a, to_b, to_c, told) = (a.clone(), b.clone(), c.clone(), events.clone());
        let of_c = ask(&p, move |cx| {
            cx.link(&to_a);
            cx.link(&to_b);
            cx.monitor(&to_c, down(&told, 1))
        })
        .await;
        let (to_p, told) = (p.clone(), events.clone());
        let of_p = ask(&d, move |cx| cx.monitor(&to_p, down(&told, 2))).await;
        related(&rt, &p, [&[a.pid(), b.pid()], &[c.pid()], &[d.pid()]]).await;
        related(&rt, &a, [&[p.pid()], &[], &[]]).await;
        related(&rt, &c, [&[], &[], &[p.pid()]]).await;
        related(&rt, &d, [&[], &[p.pid()], &[]]).await;
        let to_a = a.clone();
        ask(&p, move |cx| cx.unlink(&to_a)).await;
        related(&rt, &p, [&[b.pid()], &[c.pid()], &[d.pid()]]).await;
        related(&rt, &a, [&[], &[], &[]]).await;
        assert!(ask(&p, move |cx| cx.demonitor(of_c)).await);
        assert!(ask(&d, move |cx| cx.demonitor(of_p)).await);
        related(&rt, &p, [&[b.pid()], &[], &[]]).await;
        related(&rt, &c, [&[], &[], &[]]).await;
        end(&rt, &b, ExitReason::Normal).await;
        related(&rt, &p, [&[], &[], &[]]).await;
        end(&rt, &p, ExitReason::Normal).await;
        assert_eq!(rt.relations(&p).await, None);
    });
}

#[test]
fn link_001_both_list_the_link_from_the_first_step() {
    everywhere(|rt| async move {
        let (p, events) = (plain(&rt).await, Events::new());
        let (told, parent) = (events.clone(), p.pid());
        let script = Script::new().init_now(move |cx| {
            told.send(Event::Note(u64::from(cx.relations().links == [parent])));
            Ok(())
        });
        let q = ask(&p, move |cx| {
            let q = cx.spawn_link::<Plain>(script);
            assert_eq!(cx.relations().links, [q.pid()]);
            q
        })
        .await;
        assert_eq!(events.note().await, 1, "it was there before its first step");
        assert_eq!(rt.relations(&p).await.expect("alive").links, [q.pid()]);
        assert_eq!(rt.relations(&q).await.expect("alive").links, [p.pid()]);
    });
}

#[test]
fn mon_016_a_monitor_of_a_name_names_it() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        rt.register("jeeves", &b).expect("register");
        let told = events.clone();
        ask(&a, move |cx| cx.monitor_name("jeeves", down(&told, 1))).await;
        // It watches the process: the name may go on to another.
        rt.unregister("jeeves");
        let c = plain(&rt).await;
        rt.register("jeeves", &c).expect("register");
        end(&rt, &c, because("not watched")).await;
        end(&rt, &b, because("r")).await;
        let (_, told) = events.down().await;
        assert_eq!(told.name, Some("jeeves".into()));
        assert_because(&told.reason, "r");
        events.quiet(&rt).await;
        // By pid there is no name.
        let (d, told) = (plain(&rt).await, events.clone());
        rt.register("jeeves", &d).expect("register");
        let to = d.clone();
        ask(&a, move |cx| cx.monitor(&to, down(&told, 2))).await;
        end(&rt, &d, because("r")).await;
        assert_eq!(events.down().await.1.name, None);
    });
}

#[test]
fn mon_017_a_name_that_nobody_has_is_noproc() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        let monitor = ask(&a, move |cx| cx.monitor_name("jeeves", down(&told, 1))).await;
        let (_, told) = events.down().await;
        assert_eq!(told.name, Some("jeeves".into()));
        assert!(matches!(told.reason, ExitReason::NoProc));
        assert!(!rt.is_alive(told.pid));
        assert!(!ask(&a, move |cx| cx.demonitor(monitor)).await, "it has fired");
    });
}

#[test]
fn mon_021_the_lists_of_both_ends_shrink_together() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        rt.register("b", &b).expect("register");
        let (to, told) = (b.clone(), events.clone());
        let (by_pid, _) = ask(&a, move |cx| {
            (cx.monitor(&to, down(&told, 1)), cx.monitor_name("b", down(&told, 2)))
        })
        .await;
        related(&rt, &a, [&[], &[b.pid(), b.pid()], &[]]).await;
        related(&rt, &b, [&[], &[], &[a.pid(), a.pid()]]).await;
        assert!(ask(&a, move |cx| cx.demonitor(by_pid)).await);
        related(&rt, &a, [&[], &[b.pid()], &[]]).await;
        related(&rt, &b, [&[], &[], &[a.pid()]]).await;
        end(&rt, &b, because("x")).await;
        assert_eq!(events.down().await.0, 2);
        related(&rt, &a, [&[], &[], &[]]).await;
    });
}

#[test]
fn mon_022_the_lists_are_exact_in_any_order() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let mut others = Vec::new();
        for n in 0..10 {
            let b = plain(&rt).await;
            let (to, told) = (b.clone(), events.clone());
            let of_b = ask(&a, move |cx| cx.monitor(&to, down(&told, n))).await;
            let (to, told) = (a.clone(), events.clone());
            let of_a = ask(&b, move |cx| cx.monitor(&to, down(&told, 100))).await;
            others.push((b, of_b, of_a));
        }
        let mut left: Vec<Pid> = others.iter().map(|(b, ..)| b.pid()).collect();
        let mut left_by = left.clone();
        related(&rt, &a, [&[], &left, &left_by]).await;
        let mut rng = rt.rng();
        while !others.is_empty() {
            let (b, of_b, of_a) = others.swap_remove(rng.below(others.len() as u64) as usize);
            left.retain(|&pid| pid != b.pid());
            match rng.below(3) {
                0 => {
                    end(&rt, &b, because("x")).await;
                    assert_eq!(events.down().await.1.pid, b.pid());
                    left_by.retain(|&pid| pid != b.pid());
                }
                1 => {
                    assert!(ask(&b, move |cx| cx.demonitor(of_a)).await);
                    left_by.retain(|&pid| pid != b.pid());
                    assert!(ask(&a, move |cx| cx.demonitor(of_b)).await);
                    related(&rt, &b, [&[], &[], &[]]).await;
                }
                _ => {
                    assert!(ask(&a, move |cx| cx.demonitor(of_b)).await);
                    related(&rt, &b, [&[], &[a.pid()], &[]]).await;
                }
            }
            related(&rt, &a, [&[], &left, &left_by]).await;
        }
    });
}

#[test]
fn mon_023_the_name_is_free_when_the_down_comes() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        // Others that keep the workers busy until the test is over.
        let hogs: Vec<_> = (0..8).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        for hog in &hogs {
            hog.cast(now(|cx| again(&cx.me()))).expect("cast");
        }
        rt.register("n", &b).expect("register");
        let told = events.clone();
        ask(&a, move |cx| {
            cx.monitor_name("n", move |_| {
                now(move |cx| {
                    let free = cx.runtime().register("n", cx.pid()).is_ok();
                    told.send(Event::Note(u64::from(free)));
                    Ok(())
                })
            })
        })
        .await;
        rt.exit(&b, ExitReason::Kill);
        assert_eq!(events.note().await, 1);
        assert_eq!(rt.whereis("n"), Some(a.pid()));
        hogs.iter().for_each(|hog| rt.exit(hog, ExitReason::Kill));
    });
}

/// A puppet that always has something to do.
fn again(me: &ActorRef<Do<false>>) -> Result<(), ExitReason> {
    me.cast(now(|cx| again(&cx.me())))?;
    Ok(())
}
