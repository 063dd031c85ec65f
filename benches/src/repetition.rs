//! Warm-up, repetitions, and the machine's own costs beside each of them.
//!
//! One warm-up run that counts for nothing (it pages in the code, fills the allocator and wakes the
//! cores), then the repetitions; before each the line transfer and the read-modify-write are measured, because
//! they may change from one to the next.

use serde_json::Value;

use crate::failure::Failure;
use crate::line_transfer;
use crate::report::{Figure, Params};
use crate::rmw;
use crate::stats::Summary;

/// How a workload is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Worker threads of the runtime under test.
    pub(crate) workers: usize,
    /// Repetitions after the warm-up.
    pub(crate) reps: usize,
    /// Share of the workload's size that is run, 1 for the size its definition gives.
    pub(crate) scale: f64,
}

impl Plan {
    /// The parameters every figure has: the workers and, when it is not the whole workload, the
    /// scale.
    pub(crate) fn params(&self) -> Params {
        let params = Params(vec![("workers", Value::from(self.workers))]);
        if self.scale == 1.0 { params } else { params.with("scale", self.scale) }
    }

    /// `full` times the scale, at least 1.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        ((full as f64 * self.scale).round() as u64).max(1)
    }

    /// Runs `once` for the warm-up and for each repetition.
    ///
    /// # Errors
    ///
    /// The first run that fails ends it.
    pub(crate) fn repeat<T>(
        &self,
        mut once: impl FnMut() -> Result<T, Failure>,
    ) -> Result<Series<T>, Failure> {
        once()?;
        let mut series = Series {
            values: Vec::with_capacity(self.reps),
            transfers: Vec::new(),
            rmws: Vec::new(),
        };
        for _ in 0..self.reps {
            series.transfers.extend(line_transfer::measure());
            series.rmws.push(rmw::measure());
            series.values.push(once()?);
        }
        Ok(series)
    }
}

/// What the repetitions of one workload gave.
#[derive(Debug)]
pub(crate) struct Series<T> {
    /// One result for each repetition.
    pub(crate) values: Vec<T>,
    /// The line transfers measured beside them, in ns; empty on one core.
    transfers: Vec<f64>,
    /// The read-modify-writes measured beside them, in ns.
    rmws: Vec<f64>,
}

impl<T> Series<T> {
    /// One figure out of the results: `pick` takes it from each of them. It is not available when
    /// one lacks it.
    pub(crate) fn figure(
        &self,
        workload: &'static str,
        params: &Params,
        (name, unit): (&'static str, &'static str),
        pick: impl FnMut(&T) -> Option<f64>,
    ) -> Figure {
        Figure {
            workload,
            params: params.clone(),
            name,
            unit,
            summary: self.summary(pick),
            reps: self.values.len(),
            line_transfer_ns: Summary::of(self.transfers.clone()).map(|transfers| transfers.median),
            rmw_ns: Summary::of(self.rmws.clone()).map_or(f64::NAN, |rmws| rmws.median),
        }
    }

    /// The summary of what `pick` takes from each result; none when one lacks it.
    pub(crate) fn summary(&self, pick: impl FnMut(&T) -> Option<f64>) -> Option<Summary> {
        self.values.iter().map(pick).collect::<Option<Vec<f64>>>().and_then(Summary::of)
    }

    /// The least and the greatest line transfer met.
    pub(crate) fn transfer_range(&self) -> Option<(f64, f64)> {
        Summary::of(self.transfers.clone()).map(|transfers| (transfers.min, transfers.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { workers: 2, reps: 3, scale: 1.0 };

    #[test]
    fn the_warm_up_is_run_and_not_counted() {
        let mut runs = 0;
        let series = PLAN
            .repeat(|| {
                runs += 1;
                Ok(f64::from(runs))
            })
            .expect("no run fails");
        assert_eq!(series.values, [2.0, 3.0, 4.0]);
        let figure = series.figure("W1", &PLAN.params(), ("ns_per_hop", "ns"), |ns| Some(*ns));
        assert_eq!(figure.summary, Some(Summary { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(figure.reps, 3);
    }

    #[test]
    fn a_figure_that_one_repetition_lacks_is_not_available() {
        let series =
            Series { values: vec![Some(1.0), None], transfers: Vec::new(), rmws: vec![5.0] };
        assert_eq!(series.figure("W8", &PLAN.params(), ("p50", "messages"), |v| *v).summary, None);
    }

    #[test]
    fn a_failing_run_ends_the_series() {
        let mut runs = 0;
        let failed = PLAN.repeat(|| -> Result<(), Failure> {
            runs += 1;
            Err(Failure::Count { what: "pongs", want: 1, got: 0 })
        });
        assert!(failed.is_err());
        assert_eq!(runs, 1);
    }

    #[test]
    fn scale_shows_in_the_parameters_when_it_is_not_the_whole() {
        assert_eq!(PLAN.params().0.len(), 1);
        let tenth = Plan { scale: 0.1, ..PLAN };
        assert_eq!(tenth.params().0[1], ("scale", Value::from(0.1)));
        assert_eq!((tenth.scaled(1_000), tenth.scaled(1)), (100, 1));
    }
}
