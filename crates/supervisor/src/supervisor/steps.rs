//! How changes to children go on: one step of the [`Job`] that is under way after the other, then the next in line.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use whitebeam_actor::{
    ChildKey, Context, ExitReason, Handle, Pid, StartError, Stop, SupervisorContext,
};

use super::{
    job::{Group, Job, Purpose, Release, Starting, Step},
    process::{BATCH, Request, Supervising, Waiting},
    roster::{Place, State},
};
use crate::{
    AutoShutdown, ChildError, FailedToStart, Restart, Shutdown,
    child::{Launched, Parent},
    guard,
};

impl Supervising {
    /// Begins what can be begun. After a batch of steps others get their turn.
    pub(super) fn go_on(&mut self, cx: &mut Context<Self>) {
        while !self.is_ending && self.steps < BATCH {
            match &self.job {
                Some(Job { step: Step::None, .. }) => self.next_step(cx),
                Some(_) => return,
                None => match self.waiting.pop_front() {
                    Some(next) => self.see_to(next, cx),
                    None => return,
                },
            }
            self.steps += 1;
            if self.steps == BATCH {
                self.come_back(cx);
            }
        }
    }

    /// Goes on when others have had their turn.
    pub(super) fn come_back(&mut self, cx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.comes_back, true) {
            cx.pipe(std::future::ready(()), |()| Request::GoOn);
        }
    }

    fn see_to(&mut self, next: Waiting, cx: &mut Context<Self>) {
        match next {
            Waiting::Asked(ask) => {
                self.asked -= 1;
                self.answer(ask, cx);
            }
            Waiting::Ended(place, run) => {
                let Some(entry) = self.children.get(place) else { return };
                // It may have been stopped meanwhile, and even started again.
                if entry.run == run && matches!(entry.state, State::Ended(_)) {
                    self.ended(place, cx);
                }
            }
            Waiting::TryAgain(place) => {
                let Some(entry) = self.children.get(place) else { return };
                // Whichever failure it is of: after another one, in a restart of the group, it is the next try of that,
                // and the other's own comes too late. As in OTP.
                if matches!(entry.state, State::Restarting) {
                    self.restart(place, cx);
                }
            }
        }
    }

    /// A child has ended by itself.
    fn ended(&mut self, place: Place, cx: &mut Context<Self>) {
        let Some(entry) = self.children.get(place) else { return };
        let is_orderly = entry.last_exit.as_ref().is_some_and(ExitReason::is_orderly);
        if entry.restart == Restart::Permanent || !is_orderly {
            self.report(SupervisorContext::ChildTerminated, place, cx);
        }
        if entry.will_restart() {
            return self.restart(place, cx);
        }
        let significant = entry.significant;
        self.leave(place);
        let ends = significant
            && match self.tree.auto_shutdown {
                AutoShutdown::Never => false,
                AutoShutdown::AnySignificant => true,
                AutoShutdown::AllSignificant => self.significant == 0,
            };
        if ends {
            self.end(ExitReason::Shutdown, cx);
        }
    }

    fn restart(&mut self, place: Place, cx: &mut Context<Self>) {
        if cx.is_shutting_down() {
            // It makes no process any more: no restart can succeed.
            self.set(place, State::Stopped);
            return self.end(ExitReason::Shutdown, cx);
        }
        if !self.restarts.allows(cx.runtime().uptime()) {
            self.report(SupervisorContext::Shutdown, place, cx);
            // Whether it comes back is for who supervises this one: its address says so.
            self.set(place, State::Stopped);
            return self.end(ExitReason::Shutdown, cx);
        }
        // Its end was reported.
        self.set(place, State::Restarting);
        self.groups += 1;
        let newest = self.children.newest();
        self.job = Some(Job::restart(self.groups, self.tree.strategy, place, newest));
    }

    fn next_step(&mut self, cx: &mut Context<Self>) {
        let Some(job) = &mut self.job else { return };
        if let Some(place) = job.stops.take() {
            let is_last = match job.group {
                Group::One => true,
                Group::From(first) => first == place,
                Group::All => false,
            };
            if !is_last {
                job.stops = self.children.before(place);
            }
            match self.tell(place, cx) {
                Some(step) => self.wait_for(step),
                None => self.stopped(place, cx),
            }
            return;
        }
        if let Some(release) = job.releases.take() {
            return self.release(release);
        }
        if std::mem::take(&mut job.starts_follow) {
            job.starts = match job.group {
                Group::One => None,
                Group::From(first) => Some(first),
                Group::All => self.children.oldest(),
            };
        }
        match job.starts.take() {
            Some(place) => {
                if job.group != Group::One {
                    job.starts = self.children.after(place);
                }
                self.start(place, cx);
            }
            None => self.finish(),
        }
    }

    fn wait_for(&mut self, step: Step) {
        if let Some(job) = &mut self.job {
            job.step = step;
        }
    }

    /// The child has no process now, or had none.
    pub(super) fn stopped(&mut self, place: Place, cx: &mut Context<Self>) {
        let Some(job) = &mut self.job else { return };
        job.step = Step::None;
        let Some(entry) = self.children.get_mut(place) else { return };
        let has_ended = matches!(entry.state, State::Ended(_));
        let is_dropped = entry.restart == Restart::Temporary;
        if !is_dropped && entry.is_active() {
            entry.stopped_by = job.number;
        }
        let is_left = is_dropped || matches!(job.purpose, Purpose::Terminate(_));
        if has_ended {
            self.report_stop(place, cx);
        }
        if is_left {
            self.leave(place);
        } else {
            // It will be started again: its address goes on.
            self.set(place, State::Stopped);
        }
    }

    /// A child that was to be tried again was terminated instead: those newer ones that wait without a process since
    /// its restart has failed are not started by that any more, and their addresses say so.
    fn release(&mut self, Release { newest, below }: Release) {
        if newest == below {
            return;
        }
        if let Some(entry) = self.children.get(newest)
            && let State::Stopped = entry.state
        {
            entry.gone();
        }
        if let (Some(job), Some(newest)) = (&mut self.job, self.children.before(newest)) {
            job.releases = Some(Release { newest, below });
        }
    }

    /// Starts a child; one whose name an orphan has when that is gone. Asked before its arguments are made: they may be
    /// there for one start only.
    fn start(&mut self, place: Place, cx: &mut Context<Self>) {
        match self.orphan_with_name_of(place, cx) {
            Some(orphan) => {
                let time = self.children.get(place).map(|entry| entry.shutdown);
                let gone = gone(cx.runtime(), orphan, time.unwrap_or(Shutdown::WORKER));
                cx.pipe(gone, move |()| Request::NameFree(place));
                self.wait_for(Step::AwaitingName(place));
            }
            None => self.launch(place, cx),
        }
    }

    fn orphan_with_name_of(&self, place: Place, cx: &Context<Self>) -> Option<Pid> {
        let name = self.children.get(place)?.name()?;
        let rt = cx.runtime();
        rt.whereis(name).filter(|owner| rt.is_orphan(*owner))
    }

    /// The orphan that had the name of the child that is to be started has ended. Another may have it by now.
    pub(super) fn name_is_free(&mut self, place: Place, cx: &mut Context<Self>) {
        if let Some(Job { step: Step::AwaitingName(waiting), .. }) = &self.job
            && *waiting == place
        {
            self.start(place, cx);
        }
    }

    fn launch(&mut self, place: Place, cx: &mut Context<Self>) {
        self.runs += 1;
        let run = self.runs;
        let Some(entry) = self.children.get_mut(place) else { return };
        let info = entry.next_start(run);
        let launcher = entry.launcher();
        // Arguments are made by the user's code: its panic is a failed start.
        let launched = guard::call(|| launcher.lock().start(Parent::Tree(cx), info))
            .unwrap_or_else(|panic| Launched::refused(StartError::Exit(panic)));
        let running = launched.key.and_then(|key| Some((key, cx.child_pid(key)?)));
        match running {
            Some((key, pid)) => {
                self.note_place(key, place);
                self.set(place, State::Running(key, pid));
            }
            None => self.set(place, State::Stopped),
        }
        cx.pipe(launched.ready, move |outcome| Request::Started(place, run, outcome));
        self.wait_for(Step::Starting(Starting { place, run, outcome: None }));
    }

    fn note_place(&mut self, key: ChildKey, place: Place) {
        if key.index() >= self.places.len() {
            self.places.resize(key.index() + 1, place);
        }
        self.places[key.index()] = place;
    }

    pub(super) fn started(
        &mut self,
        place: Place,
        run: u64,
        outcome: Result<(), StartError>,
        cx: &mut Context<Self>,
    ) {
        let Some(Job { step: Step::Starting(starting), .. }) = &mut self.job else { return };
        if starting.place != place || starting.run != run {
            return;
        }
        starting.outcome = Some(outcome);
        self.settle(cx);
    }

    /// Something was heard of the start that is under way.
    pub(super) fn settle(&mut self, cx: &mut Context<Self>) {
        let Some(job) = &mut self.job else { return };
        let Step::Starting(starting) = &mut job.step else { return };
        let place = starting.place;
        let Some(entry) = self.children.get_mut(place) else { return };
        match &starting.outcome {
            None => return,
            // The end of its process is on its way, and its name is free then.
            Some(Err(_)) if matches!(entry.state, State::Running(..)) => return,
            Some(_) => {}
        }
        let Some(outcome) = starting.outcome.take() else { return };
        job.step = Step::None;
        let outcome = match outcome {
            Ok(()) => {
                let pid = match entry.state {
                    State::Running(_, pid) | State::Ended(pid) => Some(pid),
                    State::Stopped | State::Restarting => None,
                };
                entry.is_listed = true;
                // It has had the only start that anybody can ask for. What has ended by now is dropped in its turn.
                if entry.restart == Restart::Temporary
                    && !matches!(entry.state, State::Ended(_))
                    && (entry.is_added || Arc::strong_count(&self.tree) == 1)
                {
                    entry.forget();
                }
                let id = &entry.id;
                cx.report_child(SupervisorContext::Progress, || (id.to_string(), pid, None));
                Ok(pid)
            }
            Err(StartError::Ignore) => {
                entry.is_listed = true;
                self.leave(place);
                Err(StartError::Ignore)
            }
            Err(error) => return self.failed(place, error, cx),
        };
        self.has_started(outcome);
    }

    /// A child has started, or its `init` said that no process is wanted: tells who has asked for that one.
    fn has_started(&mut self, outcome: Result<Option<Pid>, StartError>) {
        let Some(job) = self.job.take() else { return };
        match job.purpose {
            Purpose::Add(reply) => reply.send(outcome.map(drop)),
            Purpose::Resume(reply) => reply.send(Ok(outcome.unwrap_or(None))),
            purpose => self.job = Some(Job { purpose, ..job }),
        }
    }

    /// A start has failed, and its process is gone.
    fn failed(&mut self, place: Place, error: StartError, cx: &mut Context<Self>) {
        let Some(job) = self.job.take() else { return };
        let Some(entry) = self.children.get_mut(place) else { return };
        cx.report_child(SupervisorContext::StartError, || {
            let pid = match entry.state {
                State::Ended(pid) => Some(pid),
                _ => None,
            };
            let reason = match error.clone() {
                StartError::Exit(reason) => reason,
                error => error.into(),
            };
            (entry.id.to_string(), pid, Some(reason))
        });
        match job.purpose {
            Purpose::Begin(ack) => {
                let failed = FailedToStart::new(entry.id.clone(), error);
                self.set(place, State::Stopped);
                // It is answered with the reason when all is gone.
                self.job = Some(Job { purpose: Purpose::Begin(ack), ..job });
                self.end(ExitReason::shutdown_with(failed), cx);
            }
            Purpose::Add(reply) => {
                let error = match error {
                    StartError::Exit(_) => {
                        let failed = FailedToStart::new(entry.id.clone(), error);
                        StartError::Exit(failed.into())
                    }
                    other => other,
                };
                self.drop_child(place);
                reply.send(Err(error));
            }
            Purpose::Resume(reply) => {
                self.leave(place);
                reply.send(Err(ChildError::Start(error)));
            }
            Purpose::Restart | Purpose::Terminate(_) => {
                if let StartError::Exit(reason) = error {
                    entry.last_exit = Some(reason);
                }
                self.set(place, State::Restarting);
                // Behind what has come meanwhile; and it is refused by no bound.
                cx.pipe(std::future::ready(()), move |()| Request::TryAgain(place));
            }
        }
    }

    /// Nothing is left to do.
    fn finish(&mut self) {
        let Some(job) = self.job.take() else { return };
        match job.purpose {
            Purpose::Begin(ack) => {
                self.has_begun = true;
                if let Some(ack) = ack {
                    ack.send(());
                }
            }
            Purpose::Terminate(reply) => reply.send(Ok(())),
            // The first two are over with their one start.
            Purpose::Add(_) | Purpose::Resume(_) | Purpose::Restart => {}
        }
    }
}

/// Ready when the orphan has ended. It was told to, and has as long as the child that is to have its name would have,
/// from now on; then it is killed.
async fn gone(rt: Handle, orphan: Pid, shutdown: Shutdown) {
    let mut down = pin!(rt.down(orphan));
    if let Stop::After(time) = shutdown.into() {
        let mut time = pin!(rt.sleep(time));
        let is_gone = poll_fn(|cx| match (down.as_mut().poll(cx), time.as_mut().poll(cx)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (down, _) => Poll::Ready(down.is_ready()),
        });
        if is_gone.await {
            return;
        }
    }
    if shutdown != Shutdown::Infinity {
        rt.exit(orphan, ExitReason::Kill);
    }
    down.await;
}
