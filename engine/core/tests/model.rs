//! The engine beside a naive model of it, over random histories.

#[path = "model/driver.rs"]
mod driver;
#[path = "model/many.rs"]
mod many;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/naive_agents.rs"]
mod naive_agents;
#[path = "model/naive_archive.rs"]
mod naive_archive;
#[path = "model/naive_controls.rs"]
mod naive_controls;
#[path = "model/naive_operations.rs"]
mod naive_operations;
#[path = "model/naive_plans.rs"]
mod naive_plans;
#[path = "model/naive_schedules.rs"]
mod naive_schedules;
#[path = "model/naive_usage.rs"]
mod naive_usage;
#[path = "model/naive_workers.rs"]
mod naive_workers;
#[path = "model/operations.rs"]
mod operations;
#[path = "model/plans.rs"]
mod plans;
#[path = "model/steps.rs"]
mod steps;
#[path = "model/values.rs"]
mod values;

#[test]
fn r07_r09_r10_r11_r12_r13_r14_the_engine_is_the_model() {
    many::run();
}

#[cfg(feature = "mutants")]
mod planted {
    use super::{driver, many};
    use jobbie_core::mutants::{Mutant, plant};

    /// The first seed whose history fails, below `limit`.
    fn falls_within(mutant: Option<Mutant>, limit: u64) -> Option<u64> {
        let histories = many::histories();
        plant(mutant);
        let fell = (0..limit).find(|seed| {
            let history = histories.of(*seed);
            std::panic::catch_unwind(|| driver::run(&history)).is_err()
        });
        plant(None);
        fell
    }

    #[test]
    fn what_fails_says_how_to_run_it_again() {
        plant(Some(Mutant::TokenUncompared));
        let failed = std::panic::catch_unwind(super::many::run).expect_err("it is found");
        plant(None);
        let message = failed.downcast::<String>().expect("a message");
        let named = message.rsplit_once("JOBBIE_TEST_MODEL_SEED=").expect("it names its seed").1;
        let seed: u64 = named.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(message.starts_with(&format!("seed {seed}: ")), "{message}");
        assert!(message.contains("Request {"), "it tells the steps: {message}");
    }

    #[test]
    fn every_mutant_falls_and_the_engine_does_not() {
        assert_eq!(falls_within(None, 100), None);
        for mutant in Mutant::ALL {
            let fell = falls_within(Some(mutant), 5000);
            println!("{mutant:?} fell with seed {fell:?}");
            assert!(fell.is_some(), "{mutant:?} was not found");
        }
    }
}
