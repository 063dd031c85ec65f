//! Children: a parent that ends an idle child on its own worker, against what others do to that child; a child
//! that ends by itself, against its parent's stop and its parent's end. Each child is counted off once.

use std::{
    future::Future,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use parking_lot::Mutex;

use super::{Msg, Puppet, Saw, Seen, Token, World, broken, is_broken, model, now, saw};
use crate::{
    Actor, ActorRef, CallError, ChildDown, Context, Down, ExitReason, SpawnOptions, Stop,
    StopSummary,
};

/// A parent of one child.
struct Parent(Counted);

/// How its child ended, as it was told.
#[derive(Clone, Default)]
struct Counted {
    summary: Arc<Mutex<Option<StopSummary>>>,
    downs: Arc<Mutex<Vec<ChildDown>>>,
}

enum Order {
    /// Start the child, which writes down there what it sees.
    Spawn(Saw, Arc<Mutex<Option<ActorRef<Msg>>>>),
    StopAll,
    End,
}

impl Actor for Parent {
    type Args = Counted;
    type Msg = Order;

    async fn init(counted: Counted, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|parent, down, _| parent.0.downs.lock().push(down));
        Ok(Parent(counted))
    }

    async fn handle(&mut self, order: Order, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Spawn(saw, made) => {
                let child = cx.spawn_child::<Puppet>(saw, SpawnOptions::new(), None, None);
                *made.lock() = child.map(|(_, child)| child);
            }
            Order::StopAll => {
                let summary = cx.stop_children(Stop::Infinity).await;
                *self.0.summary.lock() = Some(summary);
            }
            Order::End => return Err(broken()),
        }
        Ok(())
    }
}

impl Counted {
    /// Panics unless the child was counted off once: clean, or as it broke by itself.
    fn assert_once(&self) {
        let summary = self.summary.lock().take().expect("the stop is over");
        let downs = std::mem::take(&mut *self.downs.lock());
        assert_eq!(summary.clean + summary.crashed + downs.len(), 1, "{summary:?} {downs:?}");
        assert!(downs.iter().all(|down| is_broken(&down.reason) && down.started));
        assert!(summary.exceptions.iter().all(|one| is_broken(&one.reason)));
    }
}

fn family(world: &World, saw: &Saw) -> (ActorRef<Order>, ActorRef<Msg>, Counted) {
    let counted = Counted::default();
    let parent = world.spawn_as::<Parent>(counted.clone());
    let made = Arc::default();
    world.tell(&parent, Order::Spawn(saw.clone(), Arc::clone(&made)));
    let child = made.lock().take().expect("a child");
    (parent, child, counted)
}

fn end(world: &World, parent: &ActorRef<Order>) {
    world.tell(parent, Order::End);
    assert!(!parent.is_alive());
}

#[test]
fn an_inline_exit_against_a_message() {
    model(3, |world| {
        let token = Token::new(());
        let saw = saw();
        let (parent, child, counted) = family(world, &saw);
        let stops = world.cast(&parent, Order::StopAll);
        let (sends, note) = (child.clone(), token.clone());
        world.race(
            |world| world.model.run(stops),
            move |_| {
                if let Err(error) = sends.cast(Msg::See(Seen::Note(note))) {
                    assert!(matches!(error.into_message(), Msg::See(Seen::Note(_))));
                }
            },
        );
        assert!(!child.is_alive());
        counted.assert_once();
        assert!(saw.lock().len() <= 1);
        saw.lock().clear();
        assert_eq!(Token::strong_count(&token), 1);
        end(world, &parent);
    });
}

#[test]
fn an_inline_exit_against_a_call() {
    model(2, |world| {
        let token = Token::new(());
        let (parent, child, counted) = family(world, &Saw::default());
        let stops = world.cast(&parent, Order::StopAll);
        let call = child.call(|reply| Msg::Ask(token.clone(), reply)).no_timeout().owned();
        let mut call = Box::pin(call.into_future());
        let answer: Arc<Mutex<Option<_>>> = Arc::default();
        let asks = {
            let answer = answer.clone();
            move |world: &World| {
                let mut cx = TaskContext::from_waker(Waker::noop());
                let first = call.as_mut().poll(&mut cx);
                world.model.run_all();
                *answer.lock() = Some((call, first));
            }
        };
        world.race(|world| world.model.run(stops), asks);
        let (mut call, first) = answer.lock().take().unwrap();
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                match call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => panic!("nobody will answer"),
                }
            }
        };
        assert!(
            matches!(
                answer,
                Ok(_) | Err(CallError::NoProc | CallError::Exit(ExitReason::Shutdown))
            ),
            "{answer:?}"
        );
        drop((call, answer));
        assert_eq!(Token::strong_count(&token), 1);
        counted.assert_once();
        drop(child);
        end(world, &parent);
    });
}

#[test]
fn an_inline_exit_against_a_monitor_and_a_link() {
    model(2, |world| {
        let saw = saw();
        let (parent, child, counted) = family(world, &Saw::default());
        let one = world.spawn(&saw);
        world.tell(&one, now(|cx| cx.trap_exit(|exit| Msg::See(Seen::Exit(exit)))));
        let stops = world.cast(&parent, Order::StopAll);
        let target = child.pid();
        let relates = world.cast(
            &one,
            now(move |cx| {
                cx.monitor(target, |down| Msg::See(Seen::Down(down)));
                cx.link(target);
            }),
        );
        world.race(|world| world.model.run(stops), move |world| world.model.run(relates));
        let is_legal =
            |reason: &ExitReason| matches!(reason, ExitReason::Shutdown | ExitReason::NoProc);
        let (mut downs, mut exits) = (0, 0);
        for seen in &*saw.lock() {
            match seen {
                Seen::Down(Down { reason, .. }) if is_legal(reason) => downs += 1,
                Seen::Exit(exit) if is_legal(&exit.reason) => exits += 1,
                seen => panic!("{seen:?}"),
            }
        }
        assert_eq!((downs, exits), (1, 1));
        counted.assert_once();
        world.end(&[&one]);
        end(world, &parent);
    });
}

#[test]
fn a_child_that_ends_by_itself_against_its_stop_is_counted_once() {
    model(2, |world| {
        let (parent, child, counted) = family(world, &Saw::default());
        let stops = world.cast(&parent, Order::StopAll);
        let ends = world.cast(&child, Msg::Stop(broken()));
        world.race(|world| world.model.run(stops), move |world| world.model.run(ends));
        assert!(!child.is_alive());
        counted.assert_once();
        end(world, &parent);
    });
}

#[test]
fn a_child_and_its_parent_that_end_at_once_leave_nothing() {
    model(2, |world| {
        let (parent, child, _) = family(world, &Saw::default());
        let parent_ends = world.cast(&parent, Order::End);
        let child_ends = world.cast(&child, Msg::Stop(broken()));
        // Nobody but the two keeps their cells.
        drop((parent, child));
        world.race(|world| world.model.run(parent_ends), move |world| world.model.run(child_ends));
    });
}

#[test]
fn an_orphan_that_goes_idle_is_told() {
    model(2, |world| {
        let (parent, child, _) = family(world, &Saw::default());
        let parent_ends = world.cast(&parent, Order::End);
        let handles = world.cast(&child, now(|_| ()));
        world.race(|world| world.model.run(parent_ends), move |world| world.model.run(handles));
        assert!(!parent.is_alive() && !child.is_alive());
    });
}
