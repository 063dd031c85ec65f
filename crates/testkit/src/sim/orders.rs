//! Every order with a bounded number of delays, one after the other: a walk of the tree of choices, depth first.
//!
//! A run follows the choices that are laid down for it, takes 0 wherever it is asked beyond them, and writes down what
//! it was asked. The next run is laid down by the last choice that has another answer left, one that the bound allows.
//! Nothing else is kept: a program makes the same choices after the same answers. One that does not is found out, since
//! then orders would be left out unseen: up to the last choice that is laid down, a run is asked what the run before it
//! was asked.

use std::{fmt, future::Future, panic::Location, sync::Arc};

use parking_lot::Mutex;
use whitebeam_scheduler::{Choices, Point, Seeded};

use super::{ORDER_VARIABLE, Sim, drive, replay};
use crate::{
    failure::{Failure, Outcome, Report},
    record::Trace,
};

impl Sim {
    pub(super) fn run_orders<F, Fut>(
        &self,
        delays: u32,
        caller: &Location<'_>,
        test: &F,
    ) -> Result<Report, Box<Failure>>
    where
        F: Fn(crate::TestRuntime) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        let only = if self.environment { replay::text(ORDER_VARIABLE) } else { None };
        let only = only.map(|text| match Order::parse(&text) {
            Some(order) => order,
            None => panic!(
                "the environment variable {ORDER_VARIABLE} is {text:?}; it should be `none`, or be like `7:1,12:2`"
            ),
        });
        let (mut order, is_only) = (only.clone().unwrap_or_default(), only.is_some());
        let (mut runs, mut before) = (Vec::new(), Vec::new());
        loop {
            let way = Way::new(&order, before);
            let result = drive::run(self, 0, Box::new(Following::new(Arc::clone(&way))), test);
            let strayed = way.lock().strayed(result.is_ok());
            if let Some(strayed) = strayed {
                let why = if is_only {
                    format!("{ORDER_VARIABLE} is of another program or another test")
                } else {
                    "the test does not make the same choices each time (time, threads, addresses, the order of a \
                     `HashMap`?), so not all orders can be run"
                        .to_owned()
                };
                let failure =
                    result.err().map_or(String::new(), |failure| format!("\n\n{failure}"));
                panic!("the order {order} cannot be followed: {strayed}: {why}{failure}");
            }
            match result {
                Ok(mut run) => {
                    run.seed = runs.len() as u64;
                    run.trace = Trace::default();
                    runs.push(run);
                }
                Err(mut failure) => {
                    failure.seed = runs.len() as u64;
                    failure.runs = runs.len() + 1;
                    failure.strategy = format!("all orders of {delays} delays: {order}");
                    failure.replay = replay::command(ORDER_VARIABLE, order, caller);
                    return Err(failure);
                }
            }
            before = std::mem::take(&mut way.lock().asked);
            match order.next(&before, delays).filter(|_| !is_only) {
                Some(next) => order = next,
                None => return Ok(Report { runs }),
            }
        }
    }
}

/// Which choices are not 0: the place in the sequence of all, from 0 on, and what is taken, the first in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order(Vec<(usize, usize)>);

impl Order {
    /// The order behind this one. `asked`: of how many each choice was, in the run of this one.
    fn next(&self, asked: &[usize], delays: u32) -> Option<Order> {
        let mut taken = self.0.clone();
        // What lies before this place is kept.
        for place in (0..asked.len()).rev() {
            let last = taken.pop_if(|(last, _)| *last == place).map_or(0, |(_, choice)| choice);
            if last + 1 < asked[place] && taken.len() < delays as usize {
                taken.push((place, last + 1));
                return Some(Order(taken));
            }
        }
        None
    }

    fn parse(text: &str) -> Option<Order> {
        if text.trim() == "none" {
            return Some(Order::default());
        }
        let pair = |pair: &str| {
            let (place, choice) = pair.split_once(':')?;
            Some((place.trim().parse().ok()?, choice.trim().parse().ok()?))
        };
        let order: Vec<(usize, usize)> = text.split(',').map(pair).collect::<Option<_>>()?;
        order.is_sorted_by(|one, other| one.0 < other.0).then_some(Order(order))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let pairs: Vec<String> =
            self.0.iter().map(|(place, choice)| format!("{place}:{choice}")).collect();
        f.write_str(&pairs.join(","))
    }
}

/// What is laid down for a run, and what comes of it.
struct Way {
    /// What is left of the order, the next one last.
    left: Vec<(usize, usize)>,
    /// Of how many each choice was.
    asked: Vec<usize>,
    /// Of how many each is to be, as far as that is known.
    known: Vec<usize>,
    /// The first choice that is not as laid down.
    strayed: Option<String>,
}

impl Way {
    /// `before`: of how many each choice was in the run before, of which this order is the next.
    fn new(order: &Order, mut before: Vec<usize>) -> Arc<Mutex<Self>> {
        before.truncate(order.0.last().map_or(0, |(place, _)| place + 1));
        let left = order.0.iter().rev().copied().collect();
        Arc::new(Mutex::new(Way { left, asked: Vec::new(), known: before, strayed: None }))
    }

    fn choose(&mut self, of: usize) -> usize {
        let place = self.asked.len();
        self.asked.push(of);
        let choice = self.left.pop_if(|(next, _)| *next == place).map_or(0, |(_, choice)| choice);
        let before = self.known.get(place).copied().unwrap_or(of);
        let wrong = if choice >= of {
            format!("choice {place} is to be {choice}, and is one of 0..{of}")
        } else if before != of {
            format!("choice {place} was one of 0..{before}, and is one of 0..{of}")
        } else {
            return choice;
        };
        self.strayed.get_or_insert(wrong);
        choice.min(of - 1)
    }

    /// Where the run, now over, was not as laid down. One that failed may have ended early.
    fn strayed(&mut self, is_whole: bool) -> Option<String> {
        let never = self.left.last().filter(|_| is_whole).map(|(place, choice)| {
            let asked = self.asked.len();
            format!("choice {place} is to be {choice}, and the run ended after {asked} choices")
        });
        self.strayed.take().or(never)
    }
}

/// Takes the choices of an order.
struct Following {
    way: Arc<Mutex<Way>>,
    random: Seeded,
}

impl Following {
    fn new(way: Arc<Mutex<Way>>) -> Self {
        Following { way, random: Seeded::new(0) }
    }
}

impl Choices for Following {
    fn choose(&mut self, point: Point, of: usize) -> usize {
        match point {
            // One message a turn: what more would do, a choice of who is next does too.
            Point::Budget => return 0,
            Point::Random => return self.random.choose(point, of),
            _ => {}
        }
        self.way.lock().choose(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All leaves of a tree of choices: `of(path)` says how many answers there are after `path`, 0 at its end.
    fn all(delays: u32, of: impl Fn(&[usize]) -> usize) -> Vec<Vec<usize>> {
        let (mut leaves, mut order, mut before) = (Vec::new(), Order::default(), Vec::new());
        loop {
            let way = Way::new(&order, before);
            let mut choices = Following::new(Arc::clone(&way));
            let mut path = Vec::new();
            while of(&path) > 0 {
                path.push(choices.choose(Point::Next, of(&path)));
            }
            leaves.push(path);
            assert_eq!(way.lock().strayed(true), None);
            before = std::mem::take(&mut way.lock().asked);
            match order.next(&before, delays) {
                Some(next) => order = next,
                None => return leaves,
            }
        }
    }

    #[test]
    fn every_leaf_is_visited_once_in_order() {
        // Who waits gets less by one with each choice: the orders of four.
        let leaves = all(u32::MAX, |path| 4_usize.saturating_sub(path.len()).min(4));
        assert_eq!(leaves.len(), 24);
        assert!(leaves.is_sorted_by(|one, other| one < other));
    }

    #[test]
    fn no_more_delays_are_taken_than_allowed() {
        for delays in 0..4 {
            let leaves = all(delays, |path| if path.len() < 5 { 3 } else { 0 });
            let count = |path: &Vec<usize>| path.iter().filter(|taken| **taken > 0).count();
            assert!(leaves.iter().all(|path| count(path) <= delays as usize));
            // Of five places so many, with two other answers each.
            let expected = [1, 11, 51, 131][delays as usize];
            assert_eq!(leaves.len(), expected);
        }
    }

    /// The tree is another one after another answer.
    #[test]
    fn what_is_asked_may_hang_on_what_was_answered() {
        let leaves = all(u32::MAX, |path| match path {
            [] => 2,
            [1] | [1, _] => 3,
            _ => 0,
        });
        assert_eq!(leaves.len(), 10);
    }

    /// Where a run strays that is asked `asked`, by an order laid down by a run that was asked `before`.
    fn strayed(order: &str, before: &[usize], asked: &[usize], is_whole: bool) -> Option<String> {
        let way = Way::new(&Order::parse(order).unwrap(), before.to_vec());
        let mut choices = Following::new(Arc::clone(&way));
        for of in asked {
            assert!(choices.choose(Point::Next, *of) < *of);
        }
        way.lock().strayed(is_whole)
    }

    #[test]
    fn a_run_that_is_not_as_laid_down_is_found_out() {
        for is_whole in [false, true] {
            assert_eq!(strayed("1:2", &[2, 3, 9], &[2, 3], is_whole), None);
            assert_eq!(strayed("none", &[2], &[3], is_whole), None, "nothing is laid down");
            let text = strayed("1:3", &[], &[2, 3], is_whole).unwrap();
            assert_eq!(text, "choice 1 is to be 3, and is one of 0..3");
            let text = strayed("1:1", &[2, 3], &[4, 3], is_whole).unwrap();
            assert_eq!(text, "choice 0 was one of 0..2, and is one of 0..4");
        }
        let text = strayed("0:1,7:1", &[], &[2, 3], true).unwrap();
        assert_eq!(text, "choice 7 is to be 1, and the run ended after 2 choices");
        assert_eq!(strayed("0:1,7:1", &[], &[2, 3], false), None, "it failed on its way");
    }

    #[test]
    fn an_order_is_read_as_it_is_written() {
        for order in [vec![], vec![(0, 1)], vec![(3, 2), (17, 1)]] {
            let order = Order(order);
            assert_eq!(Order::parse(&order.to_string()), Some(order));
        }
        for wrong in ["", "7", "7:", "x:1", "7:1,7:2", "9:1,7:1", "7:1,"] {
            assert_eq!(Order::parse(wrong), None, "{wrong}");
        }
    }
}
