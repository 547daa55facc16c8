//! The engine beside a naive model of it, over random histories.

#[path = "model/driver.rs"]
mod driver;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/naive_agents.rs"]
mod naive_agents;
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
#[path = "model/operations.rs"]
mod operations;
#[path = "model/plans.rs"]
mod plans;
#[path = "model/values.rs"]
mod values;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        max_shrink_iters: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r07_r09_r10_r11_r12_r13_r14_the_engine_is_the_model(steps in driver::steps(60)) {
        driver::run(&steps);
    }
}

#[cfg(feature = "mutants")]
mod planted {
    use super::driver;
    use jobbie_core::mutants::{Mutant, plant};
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    /// Histories until one fails, at most `limit`.
    fn falls_within(mutant: Option<Mutant>, limit: usize) -> Option<usize> {
        let mut runner = TestRunner::deterministic();
        plant(mutant);
        let fell = (0..limit).find(|_| {
            let steps = driver::steps(60).new_tree(&mut runner).expect("a history").current();
            std::panic::catch_unwind(|| driver::run(&steps)).is_err()
        });
        plant(None);
        fell
    }

    #[test]
    fn every_mutant_falls_and_the_engine_does_not() {
        assert_eq!(falls_within(None, 100), None);
        for mutant in Mutant::ALL {
            let fell = falls_within(Some(mutant), 5000);
            println!("{mutant:?} fell in history {fell:?}");
            assert!(fell.is_some(), "{mutant:?} was not found");
        }
    }
}
