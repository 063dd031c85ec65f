//! Runs programs on Erlang/OTP: one `escript` for all programs of a run, which reads them as Erlang's terms from a
//! file and writes their traces as lines. See `otp_model.escript`.

use std::time::Duration;

use super::{
    escript::Script,
    program::{How, Op, Program, Step},
    trace::{Entry, Trace},
};

/// A program takes milliseconds.
const SILENCE: Duration = Duration::from_secs(120);

/// The traces of programs, in their order.
///
/// # Panics
/// If the script fails.
pub(crate) fn run(programs: &[Program]) -> Vec<Trace> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otp_model/otp_model.escript");
    let script = Script { path, arguments: &[], silence: SILENCE };
    let terms: Vec<String> = programs.iter().map(term).collect();
    let traces = script.play(&terms).unwrap_or_else(|failure| panic!("{failure}"));
    traces.iter().map(|text| read_trace(text)).collect()
}

fn term(program: &Program) -> String {
    let steps: Vec<String> =
        program.steps.iter().map(|Step { by, op }| format!("{{{by},{}}}", op_term(op))).collect();
    format!("{{{},[{}]}}.\n", program.roots, steps.join(","))
}

fn op_term(op: &Op) -> String {
    match op {
        Op::Link(to) => format!("{{link,{to}}}"),
        Op::Unlink(to) => format!("{{unlink,{to}}}"),
        Op::Monitor(to, monitor) => format!("{{monitor,{to},{monitor}}}"),
        Op::MonitorName(name, monitor) => format!("{{monitor_name,{name},{monitor}}}"),
        Op::Demonitor { monitor, flush, info } => {
            let mut options = Vec::new();
            options.extend(flush.then_some("flush"));
            options.extend(info.then_some("info"));
            format!("{{demonitor,{monitor},[{}]}}", options.join(","))
        }
        Op::Trap(traps) => format!("{{trap,{traps}}}"),
        Op::Exit(to, reason) => format!("{{exit,{to},{reason}}}"),
        Op::Stop(reason) => format!("{{stop,{reason}}}"),
        Op::Return(reason) => format!("{{return,{reason}}}"),
        Op::Panic => "panic".to_owned(),
        Op::Spawn(How::Plain, child, _) => format!("{{spawn,{child},[]}}"),
        Op::Spawn(How::Link, child, _) => format!("{{spawn,{child},[link]}}"),
        Op::Spawn(How::Monitor, child, monitor) => format!("{{spawn,{child},[{monitor}]}}"),
        Op::Register(name, to) => format!("{{register,{name},{to}}}"),
        Op::Unregister(name) => format!("{{unregister,{name}}}"),
        Op::Whereis(name) => format!("{{whereis,{name}}}"),
        Op::Send(to, number) => format!("{{send,{to},{number}}}"),
        Op::SendName(name, number) => format!("{{send_name,{name},{number}}}"),
        Op::Hold => "hold".to_owned(),
        Op::GoOn => "go_on".to_owned(),
    }
}

/// Lines of `process told STEP TEXT`, `process ended STEP REASON`, `process relations TEXT`.
fn read_trace(text: &str) -> Trace {
    let mut trace = Trace::new();
    for line in text.lines() {
        enter(&mut trace, line).unwrap_or_else(|| panic!("a line of the script: {line}"));
    }
    trace
}

fn enter(trace: &mut Trace, line: &str) -> Option<()> {
    let mut words = line.splitn(3, ' ');
    let life = trace.entry(words.next()?.parse().ok()?).or_default();
    let (kind, text) = (words.next()?, words.next()?);
    if kind == "relations" {
        life.relations = text.to_owned();
        return Some(());
    }
    let (step, text) = text.split_once(' ')?;
    let (step, text) = (step.parse().ok()?, text.to_owned());
    match kind {
        "told" => life.entries.push(Entry { handled: step, came: step, text }),
        "ended" => life.end = Some((step, text)),
        _ => return None,
    }
    Some(())
}
