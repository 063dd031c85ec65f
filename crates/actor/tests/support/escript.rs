//! Runs scripts of Erlang/OTP: what tests compare Whitebeam with. A script reads Erlang terms from a file, and writes for
//! each of them a text that ends with the line `done`.
//!
//! Taken in by its path, by `otp_model.rs` here and by `beam.rs` of the supervisors: it needs no crate.

use std::{
    env, fs,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

/// Before this there are no significant children.
const OLDEST: u32 = 24;

/// The release of Erlang/OTP that is here. `None`, which is said on the terminal: there is none, or it is too old.
///
/// # Panics
/// If there is none, and `WHITEBEAM_BEAM` is `required`.
pub(crate) fn release() -> Option<u32> {
    let release = installed().filter(|release| *release >= OLDEST);
    if release.is_none() {
        let text = format!(
            "NOT compared with Erlang/OTP: no `erl` and `escript` of release {OLDEST} or later here"
        );
        assert!(env::var("WHITEBEAM_BEAM").as_deref() != Ok("required"), "{text}");
        static ONCE: Once = Once::new();
        ONCE.call_once(|| notice(&text));
    }
    release
}

fn installed() -> Option<u32> {
    let ask = "io:put_chars(erlang:system_info(otp_release)), halt().";
    let erl = Command::new("erl").args(["-noshell", "-noinput", "-eval", ask]).output().ok()?;
    let release = String::from_utf8(erl.stdout).ok()?.parse().ok()?;
    Command::new("escript").output().ok()?;
    erl.status.success().then_some(release)
}

/// A line on the terminal, also of a test that passes: what is printed by `println!` nobody sees of these.
fn notice(text: &str) {
    // Nobody is left who could be told that this fails.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A script, and how long it may say nothing.
pub(crate) struct Script<'a> {
    pub(crate) path: &'a str,
    /// What it is given behind the name of the file.
    pub(crate) arguments: &'a [String],
    /// Longer than it needs for a term, with all that it does at once.
    pub(crate) silence: Duration,
}

impl Script<'_> {
    /// What it writes for each of some terms, in their order.
    ///
    /// # Errors
    /// It fails, or has to be killed since it says nothing any more: with what it has said so far.
    pub(crate) fn play(&self, terms: &[String]) -> Result<Vec<String>, String> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let file = File::write(terms);
        let mut child = Command::new("escript")
            .arg(self.path)
            .arg(&file.0)
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`escript` does not run: {error}"))?;
        let (text, errors) = self.read(&mut child)?;
        // Both are at their end, which is that of the process.
        let status = child.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the script failed: {errors}\n{text}"));
        }
        let texts: Vec<String> = text.split_terminator("done\n").map(str::to_owned).collect();
        if texts.len() != terms.len() {
            let (found, wanted) = (texts.len(), terms.len());
            return Err(format!("{found} texts for {wanted} terms: {errors}\n{text}"));
        }
        Ok(texts)
    }

    /// All that it writes, to its end.
    fn read(&self, child: &mut Child) -> Result<(String, String), String> {
        let pipes = (child.stdout.take(), child.stderr.take());
        let (Some(output), Some(errors)) = pipes else { unreachable!("both are pipes") };
        let (output, errors) = (chunks(output), chunks(errors));
        let text = self.all_of(&output).and_then(|text| Ok((text, self.all_of(&errors)?)));
        text.map_err(|so_far| {
            // It may have ended just now, and then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
            let done = so_far.matches("done\n").count();
            format!("the script said nothing for {:?}, behind {done} texts: {so_far}", self.silence)
        })
    }

    /// What comes until the pipe is closed; as an error if nothing comes for too long.
    fn all_of(&self, pipe: &Receiver<Vec<u8>>) -> Result<String, String> {
        let mut bytes = Vec::new();
        let end = loop {
            match pipe.recv_timeout(self.silence) {
                Ok(chunk) => bytes.extend(chunk),
                Err(end) => break end,
            }
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if end == RecvTimeoutError::Disconnected { Ok(text) } else { Err(text) }
    }
}

/// What comes from a pipe. Read by a thread of its own: a full pipe would stop who writes.
fn chunks(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (to, from) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if to.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    from
}

/// A file of terms, which is removed with this.
struct File(PathBuf);

impl File {
    fn write(terms: &[String]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("whitebeam-terms-{}-{number}", std::process::id());
        let file = File(env::temp_dir().join(name));
        fs::write(&file.0, terms.concat()).expect("a file for terms");
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // A file in the folder for temporary ones harms nobody if it stays.
        let _ = fs::remove_file(&self.0);
    }
}
