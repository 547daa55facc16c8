//! Which of so many places a job's number belongs to: the same in every run, and not one place after the other.

/// A prime: its steps meet all places, unless their count is a multiple of it.
const STEP: u64 = 7919;

/// A place below `places`. Each run of `places` consecutive numbers meets each place once, neighbours far apart.
///
/// # Panics
/// When there are no places.
#[must_use]
pub fn evenly(number: u64, places: u64) -> u64 {
    let step = if places.is_multiple_of(STEP) { 1 } else { STEP };
    number % places * step % places
}

/// Places of which the first gets most numbers, the second half as many, the third a third.
#[derive(Debug)]
pub struct Zipf {
    /// The shares of each place and those before it, of which all have 1.
    shares: Vec<f64>,
}

impl Zipf {
    /// So many places.
    #[must_use]
    pub fn new(places: u32) -> Self {
        let mut sum = 0.0;
        let upto = (1..=places).map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        });
        let mut shares: Vec<f64> = upto.collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self { shares }
    }

    /// A place of it.
    #[must_use]
    pub fn place(&self, number: u64) -> usize {
        let drawn = (mix(number) >> 11) as f64 / (1_u64 << 53) as f64;
        // Sums of fractions: the last may be a little below 1.
        self.shares.partition_point(|share| *share <= drawn).min(self.shares.len() - 1)
    }
}

/// The finisher of SplitMix64: numbers that follow each other have nothing in common any more.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_met_once_before_any_is_met_again() {
        for places in [1, 2, 10, 7918, 7919, 7920, 2 * 7919] {
            let mut met: Vec<u64> =
                (5 * places..6 * places).map(|number| evenly(number, places)).collect();
            met.sort_unstable();
            assert!(met.into_iter().eq(0..places), "{places}");
        }
    }

    #[test]
    fn shares_fall_with_the_rank() {
        let (zipf, mut met) = (Zipf::new(100), [0_u32; 100]);
        (0..100_000).for_each(|number| met[zipf.place(number)] += 1);
        // The sum of 1/1 to 1/100 is 5.187.
        for rank in [1, 2, 3, 10, 100] {
            let wanted = 100_000.0 / 5.187 / f64::from(rank);
            let found = f64::from(met[rank as usize - 1]);
            assert!((found - wanted).abs() < 4.0 * wanted.sqrt(), "{rank}: {found}, not {wanted}");
        }
        assert_eq!(Zipf::new(1).place(7), 0);
    }
}
