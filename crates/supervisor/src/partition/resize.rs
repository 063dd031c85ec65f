//! More or fewer of the partitions.
//!
//! One resize at a time, in the order in which they were asked for, and none before the supervisor has started.
//!
//! * Fewer: keys are led to those that stay from now on; then those that are too many are told to end, all at once,
//!   and the resize is over when they have.
//! * More: those that are missing are started, all at once. When they have, keys are led to them. If one does not
//!   start, those that did are stopped again, and the resize has failed.

use std::collections::VecDeque;

use whitebeam_actor::{Context, Reply};

use super::process::{Event, Partitioned, Phase};
use crate::{ChildFailed, ResizeError};

type Answer = Reply<Result<usize, ResizeError>>;

/// The resizes that were asked for.
#[derive(Default)]
pub(super) struct Resizes {
    waiting: VecDeque<(usize, Answer)>,
    under_way: Option<Resize>,
}

/// A resize that is under way.
struct Resize {
    from: usize,
    to: usize,
    /// Starts or ends that are to come.
    left: usize,
    /// What has gone wrong; then all that is left is to stop what was started.
    failed: Option<ChildFailed>,
    reply: Answer,
}

impl Resizes {
    pub(super) fn push(&mut self, to: usize, reply: Answer) {
        self.waiting.push_back((to, reply));
    }
}

impl Partitioned {
    /// Begins the next resize, if nothing else is under way.
    pub(super) fn next_resize(&mut self, cx: &mut Context<Self>) {
        while self.starting == 0 && self.resizes.under_way.is_none() {
            let Some((to, reply)) = self.resizes.waiting.pop_front() else { return };
            let most = self.children.len();
            if to > most {
                reply.send(Err(ResizeError::TooMany { asked: to, most }));
                continue;
            }
            let from = self.tree.in_use.get();
            let mut left = 0;
            if to < from {
                self.tree.in_use.set(to);
                left = self.stop(to, from, cx);
            } else {
                for index in from..to {
                    self.begin(index, cx);
                    left += 1;
                }
            }
            self.resizes.under_way = Some(Resize { from, to, left, failed: None, reply });
            self.finish_resize(cx);
        }
    }

    /// One start or end that a resize waits for has come.
    pub(super) fn resized(&mut self, failed: Option<ChildFailed>, cx: &mut Context<Self>) {
        let Some(resize) = &mut self.resizes.under_way else { return };
        resize.left -= 1;
        if resize.failed.is_none()
            && let Some(failed) = failed
        {
            resize.failed = Some(failed);
        }
        self.finish_resize(cx);
    }

    fn finish_resize(&mut self, cx: &mut Context<Self>) {
        let Some(resize) = &mut self.resizes.under_way else { return };
        if resize.left > 0 {
            return;
        }
        let (from, to) = (resize.from, resize.to);
        let has_failed = resize.failed.is_some();
        if has_failed {
            let left = self.stop(from, to, cx);
            if left > 0 {
                if let Some(resize) = &mut self.resizes.under_way {
                    resize.left = left;
                }
                return;
            }
        }
        let Some(resize) = self.resizes.under_way.take() else { return };
        resize.reply.send(match resize.failed {
            Some(failed) => Err(ResizeError::Start(failed)),
            None => {
                self.tree.in_use.set(to);
                Ok(from)
            }
        });
    }

    /// Tells these children to end. Gives how many ends are to come.
    fn stop(&mut self, from: usize, to: usize, cx: &mut Context<Self>) -> usize {
        let mut left = 0;
        for index in from..to {
            let child = &self.children[index];
            if !matches!(child.phase, Phase::Up | Phase::Restarting | Phase::Failed) {
                continue;
            }
            let running = child.key.and_then(|key| Some((key, cx.child_pid(key)?)));
            let Some((key, pid)) = running else {
                self.out(index);
                continue;
            };
            let shutdown = self.tree.children.lock()[index].shutdown;
            cx.exit(pid, shutdown.signal());
            let timer =
                shutdown.limit().map(|time| cx.send_after(time, Event::TimeOver(index, key)));
            let child = &mut self.children[index];
            (child.phase, child.timer) = (Phase::Stopping, timer);
            left += 1;
        }
        left
    }
}
