//! Many seeds, one process each: a library underneath has random state for its whole process.

use std::io::Write;
use std::ops::Range;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::Instant;

use crate::mutant;

pub(crate) struct Many {
    pub(crate) seeds: Range<u64>,
    pub(crate) jobs: usize,
    pub(crate) seconds: Option<u64>,
}

impl Many {
    fn spawn(&self, seed: u64, mutant: Option<&str>) -> Child {
        let program = std::env::current_exe().expect("this program has a file");
        let mut command = Command::new(program);
        command.args(["--seed", &seed.to_string()]);
        if let Some(seconds) = self.seconds {
            command.args(["--seconds", &seconds.to_string()]);
        }
        if let Some(mutant) = mutant {
            command.args(["--mutant", mutant]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("start a process of this program")
    }

    /// Runs the seeds in order; `seen` says whether to go on.
    fn each(&self, mutant: Option<&str>, mut seen: impl FnMut(u64, &Output) -> bool) {
        let seeds: Vec<u64> = self.seeds.clone().collect();
        for seeds in seeds.chunks(self.jobs) {
            let spawn = |seed: &u64| (*seed, self.spawn(*seed, mutant));
            let children: Vec<(u64, Child)> = seeds.iter().map(spawn).collect();
            let mut go_on = true;
            for (seed, child) in children {
                let output = child.wait_with_output().expect("wait for a process");
                go_on = go_on && seen(seed, &output);
            }
            if !go_on {
                return;
            }
        }
    }

    /// Runs them all and names those that failed.
    pub(crate) fn all_seeds(&self, mutant: Option<&str>) -> ExitCode {
        let begun = Instant::now();
        let mut failed = Vec::new();
        self.each(mutant, |seed, output| {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            std::io::stdout().flush().ok();
            if !output.status.success() {
                eprint!("{}", String::from_utf8_lossy(&output.stderr));
                failed.push(seed);
            }
            true
        });
        let count = self.seeds.end.saturating_sub(self.seeds.start);
        let secs = begun.elapsed().as_secs_f64();
        println!("{count} seeds in {secs:.0} s, {} failed {failed:?}", failed.len());
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Plants each defect and counts the seeds until it falls.
    pub(crate) fn all_mutants(&self) -> ExitCode {
        let mut survivors = 0;
        for name in mutant::names() {
            let (mut runs, mut fell) = (0, None);
            self.each(Some(&name), |seed, output| {
                runs += 1;
                if output.status.success() {
                    return true;
                }
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let broken = text.lines().find(|line| line.contains("is broken"));
                let why = broken.or_else(|| text.lines().nth(2)).unwrap_or("").to_owned();
                fell = Some((seed, why));
                false
            });
            match fell {
                Some((seed, why)) => println!("{name}: fell after {runs} (seed {seed}): {why}"),
                None => {
                    survivors += 1;
                    println!("{name}: SURVIVED {runs} seeds");
                }
            }
        }
        if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
