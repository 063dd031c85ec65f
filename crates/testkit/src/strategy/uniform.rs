//! The random walk.

use whitebeam_scheduler::{Choices, Point, Seeded};

/// Each choice for itself.
pub(super) struct Uniform {
    seeded: Seeded,
}

impl Uniform {
    pub(super) fn new(seed: u64) -> Self {
        Uniform { seeded: Seeded::new(seed) }
    }
}

impl Choices for Uniform {
    fn choose(&mut self, point: Point, of: usize) -> usize {
        match point {
            // Turns of one message are most: where a process can be overtaken between two messages, it is. Some
            // are longer, since messages that are handled in one go are an order of their own.
            Point::Budget if self.seeded.choose(point, 4) > 0 => 0,
            Point::Preempt => usize::from(self.seeded.choose(point, 4) == 0),
            _ => self.seeded.choose(point, of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_function_of_the_seed() {
        let draw = |seed| {
            let mut uniform = Uniform::new(seed);
            let mut one = || uniform.choose(Point::Next, 1_000);
            [one(), one(), one()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn most_turns_are_of_one_message_and_one_await_in_four_gives_way() {
        let mut uniform = Uniform::new(5);
        let short = (0..4_000).filter(|_| uniform.choose(Point::Budget, 128) == 0).count();
        assert!((2_900..3_150).contains(&short), "{short}");
        let given = (0..4_000).filter(|_| uniform.choose(Point::Preempt, 2) == 1).count();
        assert!((900..1_100).contains(&given), "{given}");
    }
}
