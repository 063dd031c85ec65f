//! Names run code of the user's: registries, and the comparison and destructors of values. None of it does harm.

use crate::support;

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, ask, assert_because, assert_reason, because,
        down, note, now, plain,
    },
    scaled,
};
use whitebeam_actor::{
    Directory, ExitReason, Handle, Name, NameError, Pid, Registrant, Registry, SpawnOptions,
    StartError,
};
use whitebeam_testkit::Everywhere;

fn with(name: &Name) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

fn is_panicked(error: &StartError) -> bool {
    let StartError::Invalid(why) = error else { return false };
    matches!(why.downcast_ref(), Some(NameError::Panicked(_)))
}

/// A registry whose functions do what a test wants before, and after, they do what they should.
#[derive(Default)]
struct Faulty {
    names: Directory,
    act: Mutex<Option<Act>>,
}

type Act = Arc<dyn Fn(&'static str, Option<&Registrant>) + Send + Sync>;

impl Faulty {
    fn new(act: impl Fn(&'static str, Option<&Registrant>) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Faulty { names: Directory::new(), act: Mutex::new(Some(Arc::new(act))) })
    }

    fn act(&self, at: &'static str, process: Option<&Registrant>) {
        let act = self.act.lock().clone();
        if let Some(act) = act {
            act(at, process);
        }
    }
}

impl Registry for Faulty {
    fn register(&self, key: &Name, process: &Registrant) -> Result<(), Pid> {
        self.act("register", Some(process));
        self.names.register(key, process)?;
        self.act("registered", Some(process));
        Ok(())
    }

    fn unregister(&self, key: &Name, owner: Pid) -> bool {
        let was_held = self.names.unregister(key, owner);
        self.act("unregistered", None);
        was_held
    }

    fn whereis(&self, key: &Name) -> Option<Pid> {
        self.act("whereis", None);
        self.names.whereis(key)
    }
}

/// Registered, as its registry sees it, when its end has been told to all: it is taken back, and who registers it
/// is told.
#[test]
fn a_via_name_given_behind_the_end_is_taken_back() {
    Everywhere::new().only_threaded().run(|rt| async move {
        let inside = rt.clone();
        let registry = Faulty::new(move |at, process| {
            if let (Some(process), "register") = (process, at) {
                let mut gone = inside.down(process);
                inside.exit(process, ExitReason::Kill);
                // On the test's own thread, which is no worker.
                while (&mut gone).now_or_never().is_none() {
                    std::thread::yield_now();
                }
            }
        });
        let name = Name::via(registry.clone(), "n");
        for _ in 0..scaled(50, 10) {
            let p = plain(&rt).await;
            assert_eq!(rt.register(&name, &p), Err(NameError::NoProc));
            assert!(registry.names.is_empty());
        }
        *registry.act.lock() = None;
    });
}

#[test]
fn a_registry_that_panics_harms_nobody() {
    expect_panics();
    everywhere(|rt| async move {
        for place in ["register", "registered", "unregistered", "whereis"] {
            let registry = Faulty::new(move |at, _| assert!(at != place, "{EXPECTED}"));
            let name = Name::via(registry.clone(), "n");
            let events = Events::new();
            let starter = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
            let refuses = place.starts_with("register");
            let (script, options) = (support::puppet::telling(&events), with(&name));
            let start = ask(&starter, move |cx| cx.with(options).start_link::<Plain>(script)).await;
            match start.await {
                Ok(_) => assert!(!refuses && events.note().await == 1),
                Err(error) => assert!(refuses && is_panicked(&error), "{error}"),
            }
            if refuses {
                assert_eq!(events.note().await, 2, "its arguments were dropped");
                assert_eq!((registry.names.len(), rt.processes().len()), (0, 1));
                let given = rt.register(&name, &starter);
                assert!(matches!(given, Err(NameError::Panicked(_))), "{given:?}");
                let (told, script, options) =
                    (events.clone(), support::puppet::telling(&events), with(&name));
                ask(&starter, move |cx| {
                    cx.with(options).spawn_monitor::<Plain>(script, down(&told, 1));
                })
                .await;
                assert_eq!(events.note().await, 2);
                assert_reason(&events.down().await.1.reason, &ExitReason::NoProc);
            } else {
                let pid = registry.names.whereis(&"n".into()).expect("registered");
                assert_eq!(rt.whereis(&name), (place != "whereis").then_some(pid));
                // Its end goes all its way.
                let gone = rt.down(pid);
                rt.exit(pid, because("r"));
                assert_because(&gone.await.reason, "r");
                assert_eq!(events.note().await, 2, "its state was dropped");
                assert_because(&events.exit().await.reason, "r");
            }
            events.quiet(&rt).await;
            assert!(registry.names.is_empty());
            assert_eq!((rt.whereis(&name), rt.unregister(&name)), (None, false));
            support::puppet::kill(&rt, starter.pid()).await;
        }
        assert!(rt.processes().is_empty());
    });
}

/// It finds the process, asks for the name, and for others; it sends to the process, which gets it behind its
/// `init`.
#[test]
fn a_registry_may_use_the_runtime() {
    everywhere(|rt| async move {
        let events = Events::new();
        let own: Arc<Mutex<Option<Name>>> = Arc::default();
        let (inside, known, told) = (rt.clone(), own.clone(), events.clone());
        let registry = Faulty::new(move |at, process| {
            assert_eq!(inside.whereis("other"), None);
            if let Some(process) = process {
                assert!(inside.is_alive(process) && process.is_alive());
                assert_eq!(inside.info(process).expect("findable").pid, process.pid());
                let address = inside.find::<Do<false>>(process).expect("typed");
                address.cast(note(&told, if at == "register" { 3 } else { 4 })).expect("cast");
            }
            let name = known.lock().clone();
            if at == "registered" {
                assert!(inside.whereis(name.expect("set before")).is_some());
            }
        });
        let name = Name::via(registry.clone(), "n");
        *own.lock() = Some(name.clone());
        let script = support::puppet::telling(&events);
        let server = rt.with(with(&name)).start::<Plain>(script).await.expect("start");
        assert_eq!((events.note().await, events.note().await, events.note().await), (1, 3, 4));
        rt.stop(&name, ExitReason::Normal).await.expect("stop");
        assert!(!server.is_alive() && registry.names.is_empty());
        *own.lock() = None;
        *registry.act.lock() = None;
    });
}

/// What is sent to a process that is refused its name, by who has found it, comes back or is dropped.
#[test]
fn a_process_that_is_refused_its_name_has_ended() {
    everywhere(|rt| async move {
        let found: Arc<Mutex<Vec<_>>> = Arc::default();
        let (inside, keep, events) = (rt.clone(), found.clone(), Events::new());
        let told = events.clone();
        let registry = Faulty::new(move |at, process| {
            if let (Some(process), "register") = (process, at) {
                let address = inside.find::<Do<false>>(process).expect("findable");
                let dropped = told.clone();
                let held = OnDrop::new(move || dropped.send(Event::Note(9)));
                address
                    .cast(now(move |_| {
                        drop(held);
                        Ok(())
                    }))
                    .expect("it waits for init");
                keep.lock().push((inside.down(process), process.clone(), address));
            }
        });
        let name = Name::via(registry.clone(), "n");
        let first = rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("start");
        assert_eq!(events.note().await, 9);
        found.lock().clear();
        let second = rt.with(with(&name)).start::<Plain>(support::puppet::telling(&events)).await;
        assert!(
            matches!(second, Err(StartError::NameTaken(by)) if by == first.pid()),
            "{second:?}"
        );
        assert_eq!((events.note().await, events.note().await), (9, 2));
        let (gone, process, address) = found.lock().pop().expect("found");
        assert_reason(&gone.await.reason, &ExitReason::NoProc);
        assert!(!process.is_alive() && !address.is_alive());
        assert_eq!(rt.processes().len(), 1);
        *registry.act.lock() = None;
    });
}

/// All of the same hash; comparing looks names up, and dropping as well.
#[derive(Debug)]
struct Clash {
    number: u32,
    rt: Handle,
    directory: Arc<Directory>,
    panics: bool,
}

impl Clash {
    fn look(&self) {
        assert_eq!(self.rt.whereis("nobody"), None);
        assert_eq!(self.directory.whereis(&"nobody".into()), None);
    }
}

impl Hash for Clash {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Clash {
    fn eq(&self, other: &Self) -> bool {
        self.look();
        assert!(!self.panics && !other.panics, "{EXPECTED}");
        self.number == other.number
    }
}

impl Eq for Clash {}

impl Drop for Clash {
    fn drop(&mut self) {
        self.look();
    }
}

#[test]
fn names_of_one_hash_are_told_apart() {
    expect_panics();
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let clash = |number: u32, panics: bool| {
            Name::of(Clash { number, rt: rt.clone(), directory: directory.clone(), panics })
        };
        let via = |name: Name| Name::via(directory.clone(), name);
        let mut servers = Vec::new();
        for number in 0..20 {
            let server = plain(&rt).await;
            rt.register(clash(number, false), &server).expect("register");
            rt.register(via(clash(number, false)), &server).expect("register");
            assert_eq!(
                rt.register(via(clash(number, false)), &server),
                Err(NameError::Taken(server.pid()))
            );
            servers.push(server);
        }
        for (number, server) in (0..20).zip(&servers) {
            let pid = Some(server.pid());
            assert_eq!(
                (rt.whereis(clash(number, false)), rt.whereis(via(clash(number, false)))),
                (pid, pid)
            );
            let taken = rt
                .with(SpawnOptions::new().name(clash(number, false)))
                .start::<Plain>(Script::new());
            assert!(matches!(taken.await, Err(StartError::NameTaken(by)) if Some(by) == pid));
        }
        assert_eq!(rt.whereis(clash(20, false)), None);
        // One that cannot be compared is refused, and found nowhere.
        let odd = plain(&rt).await;
        for name in [clash(0, true), via(clash(0, true))] {
            let given = rt.register(&name, &odd);
            assert!(matches!(given, Err(NameError::Panicked(_))), "{given:?}");
            assert_eq!((rt.whereis(&name), rt.unregister(&name)), (None, false));
            let start = rt.with(with(&name)).start::<Plain>(Script::new()).await;
            assert!(start.as_ref().is_err_and(is_panicked), "{start:?}");
        }
        for (number, server) in (0..20).zip(&servers) {
            if number % 2 == 0 {
                support::puppet::kill(&rt, server.pid()).await;
            } else {
                assert!(
                    rt.unregister(clash(number, false)) && rt.unregister(via(clash(number, false)))
                );
            }
            assert_eq!(rt.whereis(clash(number, false)), None);
        }
        assert!(directory.is_empty());
    });
}

/// A name whose value panics where it is dropped ends no one.
#[test]
fn a_name_that_panics_when_it_is_dropped_ends_nobody() {
    #[derive(PartialEq, Eq, Hash)]
    struct Bomb(u32);
    impl fmt::Debug for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Bomb")
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("{EXPECTED}");
        }
    }
    expect_panics();
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        for name in [
            |_: &Arc<Directory>| Name::of(Bomb(1)),
            |names: &Arc<Directory>| Name::via(names.clone(), Name::of(Bomb(1))),
        ] {
            let options = SpawnOptions::new().name(name(&directory));
            let server = rt.with(options).start::<Plain>(Script::new()).await.expect("start");
            assert_eq!(rt.whereis(name(&directory)), Some(server.pid()));
            let gone = rt.down(&server);
            rt.exit(&server, because("r"));
            assert_because(&gone.await.reason, "r");
            assert_eq!(rt.whereis(name(&directory)), None);
        }
    });
}
