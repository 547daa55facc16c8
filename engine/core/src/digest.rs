//! The rolling hash by which replicas compare themselves.

/// Mixes words in order. Not for hostile input: it tells two states apart, it protects nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    /// Every step is a bijection of the state, so a difference never vanishes in one step.
    #[inline]
    pub(crate) fn mix(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = mixed ^ (mixed >> 32);
    }

    #[inline]
    pub(crate) fn mix_all(&mut self, words: &[u64]) {
        words.iter().for_each(|&word| self.mix(word));
    }
}
