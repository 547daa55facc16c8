//! Which jobs of a page have unique keys. A shard's jobs mostly all have one, or none has.

use super::page::PAGE;
use crate::slab::NONE;

/// The offset of a job, and the number of its key; [`NONE`] when it has none any more.
#[derive(Clone, Copy)]
struct Link {
    offset: u16,
    key: u32,
}

/// Links in the order of their offsets. None is taken out before the last is: nothing moves up when jobs end one after
/// the other.
#[derive(Clone, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    live: u16,
}

impl Links {
    /// Where the link of a job is, or would be. Offsets rise, so with a link for each job there is only one place.
    #[inline]
    fn find(&self, offset: u64) -> Result<usize, usize> {
        let (len, offset) = (self.links.len(), offset as usize);
        let least = (len + offset).saturating_sub(PAGE as usize);
        let most = len.min(offset + 1);
        let places = &self.links[least.min(most)..most];
        let found = places.binary_search_by_key(&offset, |link| usize::from(link.offset));
        found.map(|at| least + at).map_err(|at| least + at)
    }

    #[inline]
    pub(super) fn get(&self, offset: u64) -> Option<u32> {
        let key = self.links[self.find(offset).ok()?].key;
        (key != NONE).then_some(key)
    }

    /// # Panics
    /// When it has one.
    pub(super) fn set(&mut self, offset: u64, key: u32) {
        if self.links.len() == self.links.capacity() {
            // Doubling would waste a third.
            self.links.reserve_exact((self.links.len() / 4).max(8));
        }
        let link = Link { offset: offset as u16, key };
        match self.find(offset) {
            Ok(at) => {
                assert!(self.links[at].key == NONE, "a job took two unique keys");
                self.links[at] = link;
            }
            Err(at) => self.links.insert(at, link),
        }
        self.live += 1;
    }

    pub(super) fn take(&mut self, offset: u64) -> Option<u32> {
        let at = self.find(offset).ok()?;
        let key = std::mem::replace(&mut self.links[at].key, NONE);
        if key == NONE {
            return None;
        }
        self.live -= 1;
        if self.live == 0 {
            self.links = Vec::new();
        }
        Some(key)
    }

    /// Offsets with a key.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        self.links.iter().filter(|link| link.key != NONE).map(|link| u64::from(link.offset))
    }

    pub(super) fn check(&self) {
        let sorted = self.links.is_sorted_by(|a, b| a.offset < b.offset);
        assert!(sorted, "links to unique keys out of order");
        assert_eq!(self.offsets().count(), usize::from(self.live), "links miscounted");
        assert!(self.live > 0 || self.links.is_empty(), "links without a key were kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_however_many_there_are_and_in_any_order() {
        let mut random = 1_u64;
        for most in [1, 5, 100, 256, 500, 512] {
            let (mut links, mut model) = (Links::default(), [None; PAGE as usize]);
            for step in 0..4000_u32 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let offset = (random >> 40) % most * (PAGE / most);
                let at = offset as usize;
                if model[at].is_some() && random >> 63 == 0 {
                    assert_eq!(links.take(offset), model[at].take());
                } else if model[at].is_none() {
                    links.set(offset, step);
                    model[at] = Some(step);
                }
                if step % 64 == 0 {
                    links.check();
                    assert!((0..PAGE).all(|at| links.get(at) == model[at as usize]));
                }
            }
            (0..PAGE).for_each(|at| assert_eq!(links.take(at), model[at as usize]));
            links.check();
        }
    }

    #[test]
    #[should_panic(expected = "a job took two unique keys")]
    fn a_job_has_one_key() {
        let mut links = Links::default();
        links.set(7, 1);
        links.set(7, 2);
    }
}
