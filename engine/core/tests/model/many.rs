//! Many histories, each from a seed of its own, so that a failure is named by one number and can be run again alone.
//!
//! | variable | |
//! |---|---|
//! | `JOBBIE_TEST_MODEL_COMMANDS` | run histories until they had so many commands, together |
//! | `JOBBIE_TEST_MODEL_FIRST_SEED` | the seed to begin with: processes with seeds far apart share the work |
//! | `JOBBIE_TEST_MODEL_SEED` | run the history of this seed alone |

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::driver;
use crate::steps::{Step, steps};

/// Commands of a run that is asked for no number: a few seconds without optimization.
const COMMANDS_DEFAULT: u64 = 20_000;
/// Most histories are short, so that what fails is short; each so many is long, to reach what takes long to grow.
const LONG_EVERY: u64 = 16;
const SHORT_STEPS: usize = 60;
const LONG_STEPS: usize = 400;
/// A line of progress each so many commands.
const TELL_EVERY: u64 = 5_000_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}: \"{text}\" is no number")))
}

fn runner(seed: u64) -> TestRunner {
    let config = Config { max_shrink_iters: 3000, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Where the histories of seeds come from.
pub(crate) struct Histories<S> {
    short: S,
    long: S,
}

pub(crate) fn histories() -> Histories<impl Strategy<Value = Vec<Step>>> {
    Histories { short: steps(SHORT_STEPS), long: steps(LONG_STEPS) }
}

impl<S: Strategy<Value = Vec<Step>>> Histories<S> {
    /// The history of a seed.
    #[cfg(feature = "mutants")]
    pub(crate) fn of(&self, seed: u64) -> Vec<Step> {
        self.tree(seed, &mut runner(seed)).current()
    }

    fn tree(&self, seed: u64, runner: &mut TestRunner) -> S::Tree {
        let strategy = if seed % LONG_EVERY == LONG_EVERY - 1 { &self.long } else { &self.short };
        strategy.new_tree(runner).expect("a history rejects nothing")
    }

    /// Runs the history of a seed and counts its commands. Panics with the shortest history found that fails as well.
    fn run(&self, seed: u64) -> u64 {
        let mut runner = runner(seed);
        let tree = self.tree(seed, &mut runner);
        let steps = tree.current();
        if catch_unwind(AssertUnwindSafe(|| driver::run(&steps))).is_ok() {
            return steps.iter().map(Step::commands).sum();
        }
        eprintln!("seed {seed} fails; looking for a shorter history that does");
        let loud = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let failed = runner.run_one(tree, |steps| {
            driver::run(&steps);
            Ok(())
        });
        panic::set_hook(loud);
        let replay =
            format!("JOBBIE_TEST_MODEL_SEED={seed} cargo test -p jobbie-core --test model");
        match failed {
            Err(TestError::Fail(reason, steps)) => {
                panic!("seed {seed}: {reason}\n{steps:#?}\nto run it again: {replay}")
            }
            other => panic!("seed {seed} failed once and then did not ({other:?}): {replay}"),
        }
    }
}

/// As the variables say; prints what was run.
pub(crate) fn run() {
    let histories = histories();
    if let Some(seed) = number("JOBBIE_TEST_MODEL_SEED") {
        println!("seed {seed}: {} commands", histories.run(seed));
        return;
    }
    let wanted = number("JOBBIE_TEST_MODEL_COMMANDS").unwrap_or(COMMANDS_DEFAULT);
    let first = number("JOBBIE_TEST_MODEL_FIRST_SEED").unwrap_or(0);
    let (mut seed, mut commands, mut tell, began) = (first, 0, TELL_EVERY, Instant::now());
    let seconds = || began.elapsed().as_secs_f64();
    while commands < wanted {
        commands += histories.run(seed);
        seed += 1;
        if commands >= tell {
            tell += TELL_EVERY;
            println!("{commands} commands after {:.0} s", seconds());
        }
    }
    println!(
        "{commands} commands in {} histories, seeds {first} to {}: {:.1} s, {:.0} commands a second",
        seed - first,
        seed - 1,
        seconds(),
        commands as f64 / seconds()
    );
}
