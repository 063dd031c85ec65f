//! The faults of one run: which have struck, and when the next one does.
//!
//! Who sent a message is not in the message. It is found out where it matters: while code of a sender runs,
//! nothing else does, so what its receivers' mailboxes have got since it began is its own. Mailboxes count what
//! was ever pushed, and messages are handled in that order, so a message is known by its number.

use std::{collections::BTreeMap, time::Duration};

use whitebeam_actor::{
    ExitReason, Handle, Pid, Rng,
    simulate::{Intervention, Moment},
};

use super::Rule;
use crate::record::{Process, Processes};

/// Keeps the draws of faults apart from those of the scheduler, which begin with the same seed.
const APART: u64 = 0x6661_756c_7473;

/// Messages among which one is drawn that finds no room.
const FULL_WITHIN: u64 = 32;

/// See the module's text.
pub(crate) struct Plan {
    rules: Vec<Armed>,
    rng: Rng,
    /// Mailboxes that a sender might be filling, with what they ever got when it began.
    open: Vec<(Pid, u32)>,
    /// The sender of each message that was not handled yet, by receiver and number.
    senders: BTreeMap<(Pid, u32), Pid>,
}

struct Armed {
    rule: Rule,
    /// Messages until the next crash, or full mailbox, that one included.
    countdown: u64,
}

impl Plan {
    pub(super) fn new(rules: Vec<Rule>, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed ^ APART);
        let mut arm = |rule| {
            let countdown = match &rule {
                Rule::Crash { within, .. } => rng.range(1..u64::from(*within) + 1),
                Rule::Full { .. } => rng.range(1..FULL_WITHIN + 1),
                _ => 0,
            };
            Armed { rule, countdown }
        };
        let rules = rules.into_iter().map(&mut arm).collect();
        Plan { rules, rng, open: Vec::new(), senders: BTreeMap::new() }
    }

    /// Code of `pid` is about to run.
    pub(crate) fn enters(&mut self, pid: Pid, processes: &Processes, handle: Option<&Handle>) {
        self.open.clear();
        let (Some(handle), Some(sender)) = (handle, processes.get(&pid)) else { return };
        for armed in &self.rules {
            let Rule::Delay { from, to, .. } = &armed.rule else { continue };
            if from.is_any() || !from.is(sender) {
                continue;
            }
            let receivers = processes.iter().filter(|(_, process)| to.is(process));
            let pushed = receivers.filter_map(|(pid, _)| Some((*pid, pushed(handle, *pid)?)));
            self.open.extend(pushed);
        }
    }

    /// It has run.
    pub(crate) fn leaves(&mut self, pid: Pid, handle: Option<&Handle>) {
        let Some(handle) = handle else { return };
        for (receiver, before) in self.open.drain(..) {
            let after = pushed(handle, receiver).unwrap_or(before);
            for more in 0..after.wrapping_sub(before) {
                self.senders.insert((receiver, before.wrapping_add(more)), pid);
            }
        }
    }

    pub(crate) fn intervene(
        &mut self,
        pid: Pid,
        moment: Moment,
        processes: &Processes,
    ) -> Intervention {
        let Some(process) = processes.get(&pid) else { return Intervention::Nothing };
        if moment == Moment::Room {
            return self.room(process);
        }
        let sender = match moment {
            Moment::Message { number: Some(number) } => self.senders.remove(&(pid, number)),
            _ => None,
        };
        let sender = sender.and_then(|sender| processes.get(&sender));
        let is_init = moment == Moment::Init;
        // All rules are asked, whatever comes of those before them: none takes another's place.
        let (mut end, mut held_up) = (None, Duration::ZERO);
        for armed in &mut self.rules {
            match &mut armed.rule {
                Rule::Crash { who, times, within } if !is_init && who.is(process) && *times > 0 => {
                    if armed.countdown > 1 {
                        armed.countdown -= 1;
                    } else if end.is_none() {
                        *times -= 1;
                        armed.countdown = self.rng.range(1..u64::from(*within) + 1);
                        end = Some(Intervention::Crash("crashed by a fault"));
                    }
                }
                Rule::FailStart { who, times }
                    if is_init && end.is_none() && who.is(process) && *times > 0 =>
                {
                    *times -= 1;
                    let reason = ExitReason::custom("a start that was to fail");
                    end = Some(Intervention::Fail(reason));
                }
                Rule::SlowInit { who, most } if is_init && who.is(process) => {
                    held_up = held_up.max(up_to(&mut self.rng, *most));
                }
                Rule::Delay { from, to, most } if !is_init && to.is(process) => {
                    let is_from = from.is_any() || sender.is_some_and(|sender| from.is(sender));
                    if is_from && self.rng.chance(0.5) {
                        held_up = held_up.max(up_to(&mut self.rng, *most));
                    }
                }
                _ => {}
            }
        }
        end.unwrap_or_else(|| delay(held_up))
    }
}

impl Plan {
    /// A message comes to the bounded mailbox of this one.
    fn room(&mut self, to: &Process) -> Intervention {
        let mut is_full = false;
        for armed in &mut self.rules {
            let Rule::Full { who, times } = &mut armed.rule else { continue };
            if *times == 0 || !who.is(to) {
                continue;
            }
            if armed.countdown > 1 {
                armed.countdown -= 1;
            } else if !is_full {
                *times -= 1;
                armed.countdown = self.rng.range(1..FULL_WITHIN + 1);
                is_full = true;
            }
        }
        if is_full { Intervention::Full } else { Intervention::Nothing }
    }

    /// How many may wait for a process that is to be bounded to `limit`.
    pub(crate) fn bound(&self, actor: &str, name: Option<&str>, limit: usize) -> usize {
        let limits = self.rules.iter().filter_map(|armed| match &armed.rule {
            Rule::Capacity { who, limit } if who.means(actor, name) => Some(*limit),
            _ => None,
        });
        limits.fold(limit, usize::min)
    }
}

/// What a mailbox ever got, modulo 2^32. `None`: its process has ended.
fn pushed(handle: &Handle, pid: Pid) -> Option<u32> {
    let info = handle.info(pid)?;
    Some(info.handled.wrapping_add(info.mailbox_len as u32))
}

fn delay(time: Duration) -> Intervention {
    if time.is_zero() { Intervention::Nothing } else { Intervention::Delay(time) }
}

/// A time of up to `most`; of more than 500 years so much.
fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
    Duration::from_nanos(rng.range(0..most.saturating_add(1)))
}
