//! Calls in a circle end with an error that names the circle; all others end as they would. Random programs are in
//! `deadlocks_random.rs`.

use crate::support;

use std::{future::IntoFuture, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, join, join_all, select},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use support::{
    everywhere, now as now_ns,
    puppet::{Do, Done, Plain, Script, Tidy, later, now, plain},
    scaled, simulated, threaded,
};
use whitebeam_actor::{
    ActorRef, Call, CallError, CallPath, Context, ExitReason, Handle, Pid, Reply, SpawnOptions,
    Stop,
};

type Peer = ActorRef<Do<false>>;

const MS: Duration = Duration::from_millis(1);

/// A call whose handler runs `f` with the reply.
fn request<T: Send + 'static, const TIDY: bool>(
    peer: &ActorRef<Do<TIDY>>,
    f: impl FnOnce(Reply<T>) -> BoxFuture<'static, Done> + Send + 'static,
) -> Call<'_, Do<TIDY>, T> {
    peer.call(move |reply| later(move |_, _| f(reply)))
}

/// A call that is answered as soon as it is handled.
fn echo<const TIDY: bool>(peer: &ActorRef<Do<TIDY>>, n: u32) -> Call<'_, Do<TIDY>, u32> {
    peer.call(move |reply| {
        now(move |_| {
            reply.send(n);
            Ok(())
        })
    })
}

/// What `f` comes to in a handler of `peer`'s.
async fn within<T: Send + 'static>(
    peer: &Peer,
    f: impl FnOnce() -> BoxFuture<'static, T> + Send + 'static,
) -> T {
    let answer = request(peer, move |reply| {
        Box::pin(async move {
            reply.send(f().await);
            Ok(())
        })
    });
    // The deadline is that of the whole test.
    answer.no_timeout().await.expect("a peer that lives")
}

/// What a call from `from` to `to` comes to.
async fn between(from: &Peer, to: &Peer) -> Result<u32, CallError> {
    let to = to.clone();
    within(from, move || async move { echo(&to, 1).await }.boxed()).await
}

async fn plains(rt: &Handle, n: usize) -> Arc<[Peer]> {
    let mut peers = Vec::new();
    for _ in 0..n {
        peers.push(plain(rt).await);
    }
    peers.into()
}

#[track_caller]
fn path_of<T: std::fmt::Debug>(result: Result<T, CallError>) -> CallPath {
    match result {
        Err(CallError::Deadlock(path)) => path,
        other => panic!("a deadlock was expected, not {other:?}"),
    }
}

/// The path is all of `ring`, in its order, wherever it begins.
#[track_caller]
fn assert_ring(path: &CallPath, ring: &[Peer]) {
    let mut pids: Vec<Pid> = path.pids().collect();
    let ring: Vec<Pid> = ring.iter().map(ActorRef::pid).collect();
    let first = pids.iter().position(|pid| *pid == ring[0]).expect("the first is in it");
    pids.rotate_left(first);
    assert_eq!(pids, ring);
}

/// No timeout has been waited for.
#[track_caller]
fn assert_soon(rt: &Handle, since: u64) {
    let took = Duration::from_nanos(now_ns(rt) - since);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Adapted: what is called is a reference, however it was come by, so that pid and name are not ways of their own; the
/// error is `Deadlock`, and its path the caller itself, with its name.
#[test]
fn srv_026_who_calls_itself_is_told_at_once() {
    everywhere(|rt| async move {
        let me = rt.with(SpawnOptions::new().name("narcissus")).start::<Plain>(Script::new());
        let me = me.await.expect("a puppet");
        let pid = rt.whereis("narcissus").expect("a name");
        assert_eq!(pid, me.pid());
        type Made = fn(&Peer) -> Call<'_, Do<false>, u32>;
        let calls: [Made; 4] = [
            |me| echo(me, 1),
            |me| echo(me, 1).no_timeout(),
            |me| echo(me, 1).timeout(Duration::ZERO),
            |me| echo(me, 1).owned(),
        ];
        for call in calls {
            let begun = now_ns(&rt);
            let other = me.clone();
            let result = within(&me, move || async move { call(&other).await }.boxed()).await;
            let path = path_of(result);
            assert_eq!(path.pids().collect::<Vec<_>>(), [pid]);
            assert_eq!(path.to_string(), format!("{pid} (narcissus) -> {pid} (narcissus)"));
            assert_soon(&rt, begun);
        }
        // It was not sent, and the process goes on.
        assert_eq!(rt.info(&me).expect("alive").mailbox_len, 0);
        assert_eq!(echo(&me, 7).await.unwrap(), 7);
    });
}

/// The request, and the reply in it, are dropped where the error comes.
#[test]
fn the_request_of_who_calls_itself_is_dropped() {
    everywhere(|rt| async move {
        let me = plain(&rt).await;
        let held = Arc::new(());
        let (other, witness) = (me.clone(), held.clone());
        let count = within(&me, move || {
            async move {
                let call = other.call(move |reply: Reply<()>| {
                    now(move |_| {
                        let _held = (held, reply);
                        Ok(())
                    })
                });
                path_of(call.await);
                Arc::strong_count(&witness)
            }
            .boxed()
        });
        assert_eq!(count.await, 1);
    });
}

#[test]
fn all_of_a_ring_that_call_at_once_come_to_an_end() {
    for n in [2, 3, 10] {
        everywhere(move |rt| async move {
            let ring = plains(&rt, n).await;
            let begun = now_ns(&rt);
            let calls = (0..n).map(|at| between(&ring[at], &ring[(at + 1) % n]));
            let mut told = 0;
            for result in join_all(calls).await {
                match result {
                    Ok(n) => assert_eq!(n, 1),
                    result => {
                        assert_ring(&path_of(result), &ring);
                        told += 1;
                    }
                }
            }
            // On threads some may be done before others begin, and there is no circle.
            assert!(told <= 1, "{told}");
            assert_soon(&rt, begun);
        });
    }
}

/// As above, where all are known to be in their handlers before any calls.
#[test]
fn of_a_ring_that_is_closed_one_gets_the_error() {
    for n in [2, 3, 10] {
        everywhere(move |rt| async move {
            let ring = plains(&rt, n).await;
            let begun = now_ns(&rt);
            let gate = Arc::new(Mutex::new(n));
            let calls = (0..n).map(|at| {
                let (from, to) = (ring[at].clone(), ring[(at + 1) % n].clone());
                let (gate, rt) = (gate.clone(), rt.clone());
                async move {
                    within(&from, move || {
                        async move {
                            *gate.lock() -= 1;
                            while *gate.lock() > 0 {
                                rt.sleep(MS).await;
                            }
                            echo(&to, 1).no_timeout().await
                        }
                        .boxed()
                    })
                    .await
                }
            });
            let results = join_all(calls).await;
            let told: Vec<_> = results.into_iter().filter_map(Result::err).collect();
            assert_eq!(told.len(), 1, "{told:?}");
            for error in told {
                assert!(!error.is_retryable());
                assert_ring(&path_of(Err::<(), _>(error)), &ring);
            }
            assert_soon(&rt, begun);
        });
    }
}

/// Each calls the next in the handler that it was called in.
fn walk(ring: Arc<[Peer]>, at: usize, hops: usize) -> BoxFuture<'static, Result<usize, CallError>> {
    async move {
        let peer = ring[at % ring.len()].clone();
        let call = request(&peer, move |reply| {
            async move {
                let result = if hops == 0 { Ok(at) } else { walk(ring, at + 1, hops - 1).await };
                reply.send(result);
                Ok(())
            }
            .boxed()
        });
        call.await?
    }
    .boxed()
}

#[test]
fn a_ring_that_closes_one_by_one_is_found() {
    for n in [2, 3, 10] {
        everywhere(move |rt| async move {
            let ring = plains(&rt, n).await;
            let begun = now_ns(&rt);
            let path = path_of(walk(ring.clone(), 0, n).await);
            assert_ring(&path, &ring);
            assert_soon(&rt, begun);
            // All of them go on.
            assert_eq!(walk(ring, 0, n - 1).await.unwrap(), n - 1);
        });
    }
}

/// Whoever waits behind a circle waits for those in it, and is not of it.
#[test]
fn who_waits_for_a_ring_is_not_in_its_path() {
    everywhere(|rt| async move {
        let all = plains(&rt, 5).await;
        let ring: Arc<[Peer]> = all[2..].into();
        let (behind, first) = (all[0].clone(), all[1].clone());
        let result = within(&behind, move || {
            async move {
                request(&first, move |reply| {
                    async move {
                        reply.send(walk(ring, 0, 3).await);
                        Ok(())
                    }
                    .boxed()
                })
                .await
            }
            .boxed()
        });
        assert_ring(&path_of(result.await.expect("an answer")), &all[2..]);
    });
}

#[test]
fn the_path_has_names_and_labels() {
    everywhere(|rt| async move {
        let options = [
            SpawnOptions::new().name("one"),
            SpawnOptions::new().label("two"),
            SpawnOptions::new(),
        ];
        let mut ring = Vec::new();
        for options in options {
            ring.push(rt.with(options).start::<Plain>(Script::new()).await.expect("a puppet"));
        }
        let path = path_of(walk(ring.clone().into(), 0, 3).await);
        let mut names = [Some("one"), Some("two"), None];
        let mut pids = [ring[0].pid(), ring[1].pid(), ring[2].pid()];
        let first = path.pids().next().expect("a member");
        let at = pids.iter().position(|pid| *pid == first).expect("in the ring");
        pids.rotate_left(at);
        names.rotate_left(at);
        let members: Vec<_> =
            path.members().map(|(pid, name)| (pid, name.and_then(|name| name.as_str()))).collect();
        assert_eq!(members, std::array::from_fn::<_, 3, _>(|at| (pids[at], names[at])));
        let text = |at: usize| match names[at] {
            Some(name) => format!("{} ({name})", pids[at]),
            None => pids[at].to_string(),
        };
        let expected = format!("{} -> {} -> {} -> {}", text(0), text(1), text(2), text(0));
        assert_eq!(path.to_string(), expected);
        assert_eq!(format!("{path:?}"), format!("CallPath({expected})"));
        let error = CallError::Deadlock(path).to_string();
        assert_eq!(error, format!("call failed: the processes wait for each other ({expected})"));
    });
}

/// `a` calls `b`, whose handler does `first` with the reply and calls back.
async fn back_and_forth<F>(
    a: &Peer,
    b: &Peer,
    first: impl FnOnce(Reply<u32>) -> F + Send + 'static,
) -> (Result<u32, CallError>, Result<u32, CallError>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let back = Arc::new(Mutex::new(None));
    let (caller, callee, result) = (a.clone(), b.clone(), back.clone());
    let forth = within(a, move || {
        async move {
            request(&callee, move |reply| {
                async move {
                    first(reply).await;
                    let answer = echo(&caller, 2).await;
                    *result.lock() = Some(answer);
                    Ok(())
                }
                .boxed()
            })
            .await
        }
        .boxed()
    });
    let forth = forth.await;
    // Behind the handler.
    echo(b, 3).no_timeout().await.expect("an answer");
    let back = back.lock().take().expect("it has called back");
    (forth, back)
}

#[test]
fn a_deferred_reply_is_answered_while_its_handler_calls() {
    everywhere(|rt| async move {
        let peers = plains(&rt, 2).await;
        for suspends in [false, true] {
            let tasks = rt.clone();
            let (forth, back) = back_and_forth(&peers[0], &peers[1], move |reply| async move {
                if suspends {
                    tasks.sleep(MS).await;
                }
                let reply = reply.defer();
                let timer = tasks.sleep(60 * MS);
                let answers = async move {
                    timer.await;
                    reply.send(9);
                };
                tasks.spawn_task(answers).detach();
            })
            .await;
            assert_eq!((forth.unwrap(), back.unwrap()), (9, 2));
        }
    });
}

#[test]
fn a_reply_that_an_earlier_handler_kept_may_be_answered_by_anybody() {
    everywhere(|rt| async move {
        let peers = plains(&rt, 2).await;
        let (a, b) = (peers[0].clone(), peers[1].clone());
        let kept = Arc::new(Mutex::new(None));
        let (keeps, callee) = (kept.clone(), b.clone());
        let forth = within(&a, move || {
            async move {
                request::<u32, _>(&callee, move |reply| {
                    *keeps.lock() = Some(reply);
                    async { Ok(()) }.boxed()
                })
                .await
            }
            .boxed()
        });
        let back = async {
            while kept.lock().is_none() {
                rt.sleep(MS).await;
            }
            let back = between(&b, &a);
            let later = async {
                rt.sleep(60 * MS).await;
                kept.lock().take().expect("kept").send(9);
            };
            join(back, later).await.0
        };
        let (forth, back) = join(forth, back).await;
        assert_eq!((forth.unwrap(), back.unwrap()), (9, 1));
    });
}

#[test]
fn who_has_answered_may_call_back() {
    everywhere(|rt| async move {
        let peers = plains(&rt, 2).await;
        for wait in [0, 1, 7, 9, 20] {
            let time = rt.clone();
            let (forth, back) = back_and_forth(&peers[0], &peers[1], move |reply| async move {
                time.sleep(wait * MS).await;
                reply.send(9);
            })
            .await;
            assert_eq!((forth.unwrap(), back.unwrap()), (9, 2));
        }
    });
}

/// A handler of `a`'s calls `b`, which answers, calls back, and has `a` begin anew.
fn round(a: Peer, b: Peer, left: usize, over: Reply<Result<(), CallError>>) -> Do<false> {
    later(move |_, _| {
        let (caller, callee) = (a, b.clone());
        async move {
            let call = request(&callee, move |reply| {
                async move {
                    reply.send(());
                    match echo(&caller, 1).no_timeout().await {
                        Ok(_) if left > 0 => {
                            caller.cast(round(caller.clone(), b, left - 1, over))?;
                        }
                        result => over.send(result.map(drop)),
                    }
                    Ok(())
                }
                .boxed()
            });
            call.no_timeout().await?;
            Ok(())
        }
        .boxed()
    })
}

#[test]
fn who_has_answered_may_call_back_in_tight_loops() {
    let rounds = scaled(100_000, 1_000);
    threaded(move |rt| async move {
        let pairs = 8;
        let peers = plains(&rt, 2 * pairs).await;
        let loops = peers.chunks(2).map(|pair| {
            let (a, b) = (pair[0].clone(), pair[1].clone());
            let (over, done) = whitebeam_actor::oneshot();
            a.cast(round(a.clone(), b, rounds / pairs, over)).expect("sent");
            done
        });
        for result in join_all(loops).await {
            result.expect("an answer").expect("no circle");
        }
    });
}

#[test]
fn what_is_awaited_together_with_something_else_is_left_to_it() {
    everywhere(|rt| async move {
        let peers = plains(&rt, 2).await;
        let (a, b) = (peers[0].clone(), peers[1].clone());
        for how in 0..4 {
            let (caller, callee, time) = (a.clone(), b.clone(), rt.clone());
            let back = Arc::new(Mutex::new(None));
            let answered = back.clone();
            let forth = within(&a, move || {
                async move {
                    let call = request::<u32, _>(&callee, move |reply| {
                        async move {
                            let answer = echo(&caller, 2).await;
                            *answered.lock() = Some(answer);
                            reply.send(9);
                            Ok(())
                        }
                        .boxed()
                    });
                    let over = time.sleep(60 * MS);
                    match how {
                        0 => match select(call.into_future(), over).await {
                            Either::Left((result, _)) => Some(result),
                            Either::Right(_) => None,
                        },
                        1 => match select(over, call.into_future()).await {
                            Either::Left(_) => None,
                            Either::Right((result, _)) => Some(result),
                        },
                        2 => {
                            let mut both = FuturesUnordered::new();
                            both.push(call.into_future().map(Some).boxed());
                            both.push(over.map(|()| None).boxed());
                            both.next().await.flatten()
                        }
                        _ => match call.timeout(60 * MS).await {
                            Err(CallError::Timeout { accepted: true }) => None,
                            result => Some(result),
                        },
                    }
                }
                .boxed()
            });
            let forth = forth.await;
            assert!(forth.is_none(), "{how}: {forth:?}");
            echo(&b, 3).await.expect("an answer");
            assert_eq!(back.lock().take().expect("it has called back").unwrap(), 2, "{how}");
        }
    });
}

/// Of two calls that are joined the first may wait for the second's answer; when that is there, it is a circle.
#[test]
fn a_call_that_is_left_alone_is_looked_at() {
    everywhere(|rt| async move {
        let peers = plains(&rt, 3).await;
        for is_first in [true, false] {
            let begun = now_ns(&rt);
            let (a, b, c) = (peers[0].clone(), peers[1].clone(), peers[2].clone());
            let (caller, time) = (a.clone(), rt.clone());
            let (forth, _) = within(&a, move || {
                async move {
                    let circle = request(&b, move |reply| {
                        async move {
                            reply.send(echo(&caller, 2).no_timeout().await);
                            Ok(())
                        }
                        .boxed()
                    });
                    let other = request(&c, move |reply| {
                        async move {
                            time.sleep(100 * MS).await;
                            reply.send(());
                            Ok(())
                        }
                        .boxed()
                    });
                    if is_first {
                        join(circle.into_future(), other.into_future()).await
                    } else {
                        let (other, circle) = join(other.into_future(), circle.into_future()).await;
                        (circle, other)
                    }
                }
                .boxed()
            })
            .await;
            // The one of the two that is chosen: the younger's.
            assert_ring(&path_of(forth.and_then(|back| back)), &peers[..2]);
            let took = Duration::from_nanos(now_ns(&rt) - begun);
            assert!(took >= 100 * MS, "{took:?}");
            assert_soon(&rt, begun);
        }
    });
}

/// Neither of them handles anything.
#[test]
fn threads_and_tasks_are_in_no_circle() {
    everywhere(|rt| async move {
        let a = plain(&rt).await;
        let (me, tasks) = (a.clone(), rt.clone());
        // A handler that waits for a task that waits for it: not seen, and left to the timeout.
        let result = within(&a, move || {
            async move { tasks.spawn_task(async move { echo(&me, 1).timeout(60 * MS).await }).await }
                .boxed()
        });
        let result = result.await;
        assert!(matches!(result, Err(CallError::Timeout { accepted: true })), "{result:?}");
    });
    threaded(|rt| async move {
        let a = plain(&rt).await;
        let (me, time) = (a.clone(), rt.clone());
        let answer = within(&a, move || {
            async move {
                let thread = std::thread::spawn(move || echo(&me, 1).blocking());
                time.sleep(40 * MS).await;
                thread
            }
            .boxed()
        });
        assert_eq!(answer.await.join().expect("no panic").unwrap(), 1);
    });
}

/// `depth` generations under an actor that stops its children; the last one's `terminate` calls it.
fn generation(root: ActorRef<Do<true>>, depth: usize, told: Told) -> Script<true> {
    let script = Script::new().supervise(|_, _| {});
    if depth == 0 {
        return script.terminate(move |_, _| {
            async move {
                let result = echo(&root, 1).no_timeout().await;
                told.lock().push(result);
            }
            .boxed()
        });
    }
    script
        .init(move |cx| {
            let child = generation(root, depth - 1, told);
            async move {
                cx.supervise(|_, _, _| {});
                start_child(cx, child).await;
                Ok(())
            }
            .boxed()
        })
        .terminate(|_, cx| {
            async move {
                let _ = cx.stop_children(Stop::Infinity).await;
            }
            .boxed()
        })
}

type Told = Arc<Mutex<Vec<Result<u32, CallError>>>>;

async fn start_child(cx: &mut Context<Tidy>, script: Script<true>) -> ActorRef<Do<true>> {
    let (ack, started) = whitebeam_actor::oneshot();
    drop(cx.spawn_child::<Tidy>(script, SpawnOptions::new(), None, Some(ack)));
    started.await.expect("an answer").expect("a child")
}

/// It would be killed when its time is over, or never.
#[test]
fn who_calls_an_ancestor_that_stops_it_is_told() {
    for depth in [0, 1, 3] {
        for how in [Stop::Infinity, Stop::After(Duration::from_secs(4))] {
            everywhere(move |rt| async move {
                let script = Script::new().supervise(|_, _| {});
                let root = rt.start::<Tidy>(script).await.expect("a parent");
                let begun = now_ns(&rt);
                let told = Told::default();
                let (me, results) = (root.clone(), told.clone());
                let summary = root.call(move |reply| {
                    later(move |_, cx| {
                        async move {
                            start_child(cx, generation(me, depth, results)).await;
                            reply.send(cx.stop_children(how).await);
                            Ok(())
                        }
                        .boxed()
                    })
                });
                let summary = summary.no_timeout().await.expect("an answer");
                assert_eq!((summary.clean, summary.killed), (1, 0), "{summary:?}");
                let result = told.lock().pop().expect("it was stopped");
                let pids: Vec<Pid> = path_of(result).pids().collect();
                assert_eq!(pids.len(), depth + 2);
                assert_eq!(pids[1], root.pid());
                assert_soon(&rt, begun);
            });
        }
    }
}

#[test]
fn a_child_may_call_a_parent_that_stops_another_one() {
    everywhere(|rt| async move {
        let script = Script::new().supervise(|_, _| {});
        let root = rt.start::<Tidy>(script).await.expect("a parent");
        let (me, time) = (root.clone(), rt.clone());
        let answer: Result<u32, CallError> = root
            .call(move |reply| {
                later(move |_, cx| {
                    async move {
                        let slow = start_child(
                            cx,
                            Script::new().terminate(move |_, _| time.sleep(80 * MS).boxed()),
                        );
                        let slow = slow.await;
                        let calls = start_child(cx, Script::new()).await;
                        let call = later(move |_, _| {
                            async move {
                                reply.send(echo(&me, 1).await);
                                Ok(())
                            }
                            .boxed()
                        });
                        calls.cast(call).expect("sent");
                        let key = cx.child_key(slow.pid()).expect("a child");
                        let _ = cx.stop_child(key, Stop::Infinity).await;
                        Ok(())
                    }
                    .boxed()
                })
            })
            .await
            .expect("an answer");
        assert_eq!(answer.unwrap(), 1);
    });
}

/// A start is awaited until `init` is done.
#[test]
fn who_calls_its_starter_in_init_is_told() {
    everywhere(|rt| async move {
        let starter = plain(&rt).await;
        let me = starter.clone();
        let begun = now_ns(&rt);
        let (started, told) = starter
            .call(move |reply| {
                later(move |_, cx| {
                    let told = Told::default();
                    let results = told.clone();
                    let script = Script::new().init(move |_| {
                        async move {
                            let result = echo(&me, 1).no_timeout().await;
                            results.lock().push(result);
                            Ok(())
                        }
                        .boxed()
                    });
                    async move {
                        let started = cx.start::<Plain>(script).await;
                        let told = told.lock().pop();
                        reply.send((started, told));
                        Ok(())
                    }
                    .boxed()
                })
            })
            .no_timeout()
            .await
            .expect("an answer");
        let child = started.expect("a child");
        let path = path_of(told.expect("init has run"));
        assert_eq!(path.pids().collect::<Vec<_>>(), [child.pid(), starter.pid()]);
        assert_soon(&rt, begun);
    });
}

/// Each waits for who works: no circle, however long it takes.
#[test]
fn a_chain_without_a_circle_is_left_alone() {
    everywhere(|rt| async move {
        let chain = plains(&rt, 6).await;
        let runs = (0..scaled(40, 8)).map(|run| {
            let (chain, time) = (chain.clone(), rt.clone());
            async move {
                let last = chain[5].clone();
                let work = within(&last, move || {
                    async move {
                        time.sleep((run % 5) as u32 * 5 * MS).await;
                        run
                    }
                    .boxed()
                });
                let (walked, worked) = join(walk(chain, run % 3, 5 - run % 3), work).await;
                assert_eq!(worked, run);
                match walked {
                    Ok(at) => assert_eq!(at, 5),
                    // Behind all the others.
                    Err(CallError::Timeout { accepted: true }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        join_all(runs).await;
    });
}

/// Whoever is killed, all others come to an end.
#[test]
fn members_may_end_while_they_are_chased() {
    simulated(|rt| async move {
        for victim in 0..5 {
            for after in [0, 7, 8, 9, 16] {
                let ring = plains(&rt, 5).await;
                let begun = now_ns(&rt);
                let calls = (0..5).map(|at| {
                    let (from, to) = (ring[at].clone(), ring[(at + 1) % 5].clone());
                    async move {
                        request(&from, move |reply| {
                            async move {
                                reply.send(echo(&to, 1).no_timeout().await);
                                Ok(())
                            }
                            .boxed()
                        })
                        .no_timeout()
                        .await
                    }
                });
                let kill = async {
                    rt.sleep(after * MS).await;
                    rt.exit(&ring[victim], ExitReason::Kill);
                };
                let (results, ()) = join(join_all(calls), kill).await;
                for result in results.into_iter().map(|result| result.and_then(|inner| inner)) {
                    match result {
                        Ok(_) | Err(CallError::Exit(ExitReason::Killed) | CallError::NoProc) => {}
                        result => assert_ring(&path_of(result), &ring),
                    }
                }
                assert_soon(&rt, begun);
            }
        }
    });
}

/// The error ends the call as a timeout does.
#[test]
fn nothing_comes_of_the_call_afterwards() {
    everywhere(|rt| async move {
        let ring = plains(&rt, 3).await;
        let handled = Arc::new(Mutex::new(0));
        let calls = (0..3).map(|at| {
            let (from, to) = (ring[at].clone(), ring[(at + 1) % 3].clone());
            let handled = handled.clone();
            async move {
                within(&from, move || {
                    async move {
                        let call = to.call(move |reply| {
                            now(move |_| {
                                *handled.lock() += 1;
                                reply.send(());
                                Ok(())
                            })
                        });
                        call.await
                    }
                    .boxed()
                })
                .await
            }
        });
        join_all(calls).await;
        for peer in ring.iter() {
            assert_eq!(echo(peer, 5).await.unwrap(), 5);
        }
        // A request that was given up is handled all the same.
        assert_eq!(*handled.lock(), 3);
    });
}
