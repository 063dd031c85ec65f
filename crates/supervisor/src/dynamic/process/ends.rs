//! Ends of children, and their restarts.

use std::future::ready;

use whitebeam_actor::{Actor, ChildDown, Context, ExitReason, StartInfo};

use super::{Dynamic, OneKept, Request};
use crate::{AutoShutdown, guard};

impl<A: Actor> Dynamic<A> {
    pub(super) fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let kept = self.kept.take(down.key);
        let stop = self.stops.end(down.key, cx);
        let (is_first, has_started) =
            (kept.as_ref().is_none_or(|kept| kept.attempt == 1), down.started);
        let mut has_left = has_started && stop.is_none();
        if stop.is_none()
            && let Some(mut kept) = kept
            && self.template.restart.applies(kept.attempt, &down)
        {
            has_left = false;
            if has_started {
                kept.last = down.pid;
            }
            self.restart(kept, down.reason, cx);
        }
        if cx.child_count() == 0 {
            self.kept.clear();
        }
        // One whose first start has failed by itself was none.
        if has_started || !is_first || stop.is_some() {
            self.has_left = has_left;
        }
        let children = self.len(cx);
        if self.template.auto_shutdown != AutoShutdown::Never {
            self.auto_shutdown(has_left, children, cx);
        }
        self.count.0.set(children);
        // When it is counted off: who waited may look at the count.
        if let Some(stop) = stop {
            stop.done();
        }
    }

    /// A child has ended, by itself and for good if it `has_left`, or a first start has failed.
    #[cold]
    fn auto_shutdown(&self, has_left: bool, children: usize, cx: &mut Context<Self>) {
        let ends = match self.template.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => has_left,
            // Also when the last one has left while others were in their first starts, and these have failed.
            AutoShutdown::AllSignificant => self.has_left && children == 0,
        };
        if ends {
            cx.stop(ExitReason::Shutdown);
        }
    }

    /// Starts a child again that has ended with `last_exit`. If no process can be made, that is a failed restart as any
    /// other: it counts, and is tried again. But a runtime that shuts down makes none any more.
    fn restart(&mut self, mut kept: OneKept<A>, last_exit: ExitReason, cx: &mut Context<Self>) {
        if cx.is_shutting_down() || !self.restarts.allows_at(|| cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        let Some((keep, args)) = self.template.keep.zip(kept.with.get()) else { return };
        kept.attempt = kept.attempt.saturating_add(1);
        let mut info = StartInfo::first();
        info.attempt = kept.attempt;
        info.last_exit = Some(last_exit.clone());
        let options = self.template.options.clone();
        let spawned = guard::call(|| keep(args))
            .and_then(|args| self.arguments(args))
            .and_then(|args| guard::call(|| cx.spawn_child::<A>(args, options, Some(info), None)));
        let why = match spawned {
            Ok(Some((key, _child))) => {
                self.kept.put(key, kept);
                return self.kept.note_restart(key, cx);
            }
            // The process table is full, or the name was taken; or the runtime shuts down, as the next try finds.
            Ok(None) => last_exit,
            Err(panic) => panic,
        };
        self.waiting.push_back((kept, why));
        // Behind what has come meanwhile; and it is refused by no bound.
        cx.pipe(ready(()), |()| Request::TryAgain);
    }

    pub(super) fn try_again(&mut self, cx: &mut Context<Self>) {
        // None, if it was terminated meanwhile: then an older message was that of another one, which came early.
        let Some((kept, last_exit)) = self.waiting.pop_front() else { return };
        self.restart(kept, last_exit, cx);
        self.count.0.set(self.len(cx));
    }
}
