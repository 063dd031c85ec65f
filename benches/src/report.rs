//! Figures, and their two forms: one JSON object a line for programs, a table for people.
//!
//! # JSON
//!
//! Each line is one figure: `workload`, `params` (object), `figure`, `unit`, `median`, `min`,
//! `max`, `reps`, `line_transfer_ns`, `rmw_ns`, `noisy`, `env` (`cores`, `rustc`, `commit`, `allocator`), in
//! this order.
//!
//! - `median`, `min` and `max` are over the repetitions, to four significant digits; null where the
//!   figure is not available (percentiles of fewer than 20 samples; memory outside Linux).
//! - `line_transfer_ns` is the median of the transfers measured beside each repetition; null on one
//!   core. `rmw_ns` is the median of the uncontended read-modify-writes measured there: the unit to compare
//!   machines in.
//! - `noisy` is true when the repetitions spread by more than 25 % of their median: take the figure
//!   again on a quiet machine before comparing it.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use crate::environment;
use crate::stats::{Summary, rounded};

/// What a workload was run with, in the order it is printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Params(pub(crate) Vec<(&'static str, Value)>);

impl Params {
    /// These and one more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }
}

/// One figure of one workload with one set of parameters.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Workload id, as on the command line.
    pub(crate) workload: &'static str,
    /// What it was run with.
    pub(crate) params: Params,
    /// Name of the figure.
    pub(crate) name: &'static str,
    /// Unit of the values.
    pub(crate) unit: &'static str,
    /// The values; none when the figure is not available.
    pub(crate) summary: Option<Summary>,
    /// Number of repetitions.
    pub(crate) reps: usize,
    /// Median line transfer beside the repetitions.
    pub(crate) line_transfer_ns: Option<f64>,
    /// Median read-modify-write beside the repetitions.
    pub(crate) rmw_ns: f64,
}

impl Figure {
    fn is_noisy(&self) -> bool {
        self.summary.is_some_and(|summary| summary.is_noisy())
    }

    /// The figure as one line of JSON, without the line's end. `env` is JSON already.
    fn as_json(&self, env: &str) -> String {
        let value = |pick: fn(&Summary) -> f64| number(self.summary.as_ref().map(pick));
        object([
            ("workload", Value::from(self.workload).to_string()),
            (
                "params",
                object(self.params.0.iter().map(|(name, value)| (*name, value.to_string()))),
            ),
            ("figure", Value::from(self.name).to_string()),
            ("unit", Value::from(self.unit).to_string()),
            ("median", value(|s| s.median).to_string()),
            ("min", value(|s| s.min).to_string()),
            ("max", value(|s| s.max).to_string()),
            ("reps", self.reps.to_string()),
            ("line_transfer_ns", number(self.line_transfer_ns).to_string()),
            ("rmw_ns", number(Some(self.rmw_ns)).to_string()),
            ("noisy", self.is_noisy().to_string()),
            ("env", env.to_owned()),
        ])
    }
}

/// A JSON object of fields whose values are JSON already, in the order given (a `serde_json` map
/// would sort them).
pub(crate) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// A number of JSON: whole values without a point, others to four significant digits, none as null.
fn number(value: Option<f64>) -> Value {
    match value.map(rounded) {
        None => Value::Null,
        Some(whole) if whole == whole.trunc() && whole.abs() < 9e15 => Value::from(whole as i64),
        Some(fraction) => Value::from(fraction),
    }
}

/// Prints figures as JSON lines.
///
/// # Errors
///
/// When standard output is gone.
pub(crate) fn print_json(figures: &[Figure]) -> io::Result<()> {
    let env = environment::as_json(&environment::commit());
    let mut out = io::stdout().lock();
    for figure in figures {
        writeln!(out, "{}", figure.as_json(&env))?;
    }
    out.flush()
}

/// Prints figures as tables, one for each set of parameters.
///
/// # Errors
///
/// When standard output is gone.
pub(crate) fn print_tables(figures: &[Figure]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for group in figures.chunk_by(|a, b| a.workload == b.workload && a.params == b.params) {
        writeln!(out, "{}", heading(&group[0]))?;
        let mut table = Table::new(["figure", "median", "min", "max", "unit", ""]);
        for figure in group {
            let cell = |pick: fn(&Summary) -> f64| {
                figure.summary.as_ref().map_or("n/a".into(), |s| short(pick(s)))
            };
            table.row([
                figure.name.to_owned(),
                cell(|s| s.median),
                cell(|s| s.min),
                cell(|s| s.max),
                figure.unit.to_owned(),
                if figure.is_noisy() { "noisy" } else { "" }.to_owned(),
            ]);
        }
        writeln!(out, "{}", table.render())?;
    }
    out.flush()
}

/// `W8: workers 2, children 200000, layout flat; 5 repetitions; line transfer 21 ns, read-modify-write 5 ns`.
fn heading(figure: &Figure) -> String {
    let mut text = format!("{}:", figure.workload);
    for (i, (name, value)) in figure.params.0.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(text, "{comma} {name} {value}");
    }
    let plural = if figure.reps == 1 { "" } else { "s" };
    let _ = write!(text, "; {} repetition{plural}", figure.reps);
    match figure.line_transfer_ns {
        Some(ns) => {
            let _ = write!(text, "; line transfer {} ns", ns.round());
        }
        None => text.push_str("; line transfer n/a (one core)"),
    }
    let _ = write!(text, ", read-modify-write {} ns", short(figure.rmw_ns));
    text
}

/// A value with so many decimals and with commas between thousands.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let whole = text.split('.').next().unwrap_or_default().len();
    let mut grouped = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && place < whole && (whole - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A value as people read it: four significant digits, no exponent.
fn short(value: f64) -> String {
    rounded(value).to_string()
}

/// A table of text with aligned columns: numbers to the right; the first column, units and the
/// other words to the left.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    heads: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these column headings.
    pub(crate) fn new(heads: [&'static str; N]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// The table as text, each line indented by two and ended.
    pub(crate) fn render(&self) -> String {
        let heads = self.heads.map(str::to_owned);
        let lines: Vec<&[String; N]> = std::iter::once(&heads).chain(&self.rows).collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                let is_text = column == 0 || matches!(self.heads[column], "" | "unit" | "children");
                let _ = if is_text {
                    write!(row, "  {cell:<width$}")
                } else {
                    write!(row, "  {cell:>width$}")
                };
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(summary: Option<Summary>) -> Figure {
        Figure {
            workload: "W1",
            params: Params(vec![("workers", Value::from(2))]).with("layout", "flat"),
            name: "ns_per_hop",
            unit: "ns",
            summary,
            reps: 5,
            line_transfer_ns: Some(21.04),
            rmw_ns: 4.8,
        }
    }

    #[test]
    fn a_json_line_has_the_fields_of_the_format_in_its_order() {
        let line = figure(Some(Summary { median: 18.912_3, min: 18.7, max: 21.8 }))
            .as_json(r#"{"cores":2}"#);
        assert_eq!(
            line,
            r#"{"workload":"W1","params":{"workers":2,"layout":"flat"},"figure":"ns_per_hop","unit":"ns","median":18.91,"min":18.7,"max":21.8,"reps":5,"line_transfer_ns":21.04,"rmw_ns":4.8,"noisy":false,"env":{"cores":2}}"#
        );
        assert!(serde_json::from_str::<Value>(&line).is_ok());
    }

    #[test]
    fn a_figure_that_is_not_available_is_null_and_not_noisy() {
        let line = figure(None).as_json("{}");
        assert!(line.contains(r#""median":null,"min":null,"max":null"#), "{line}");
        assert!(line.contains(r#""noisy":false"#), "{line}");
    }

    #[test]
    fn whole_numbers_have_no_point() {
        assert_eq!(number(Some(199_998.0)).to_string(), "199998");
        assert_eq!(number(Some(0.25)).to_string(), "0.25");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(200_051.0, 0), "200,051");
        assert_eq!(grouped(1_234_567.89, 1), "1,234,567.9");
        assert_eq!(grouped(12.0, 3), "12.000");
    }

    #[test]
    fn a_table_is_aligned_by_its_widest_cells() {
        let mut table = Table::new(["layout", "ms", ""]);
        table.row(["flat".into(), "3.1".into(), "noisy".into()]);
        table.row(["two-tier:250".into(), "12345".into(), String::new()]);
        assert_eq!(
            table.render(),
            "  layout           ms\n  flat            3.1  noisy\n  two-tier:250  12345\n"
        );
    }
}
