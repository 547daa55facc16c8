//! Where the jobs of a page came from: a row for each run of jobs that one event made. With one row
//! a job, when every job comes in an entry of its own, this is most of what a waiting job costs.

use super::Origin;
use super::page::{PAGE, PAGE_BITS};
use crate::class::ClassId;

/// Rows in the order of their offsets: eight bytes each while they are near the first one and their
/// classes are few, otherwise sixteen.
#[derive(Clone)]
pub(super) enum Rows {
    Narrow {
        /// Event and creation time of the first job of the page that was added.
        event: u64,
        created_ms: u64,
        rows: Vec<Narrow>,
    },
    Wide(Vec<Wide>),
}

/// From the low bits up: offset in the page (9 bits), events (20 bits) and milliseconds (21 bits) since the
/// first row, class (14 bits). Events are counted beyond those of the jobs themselves.
#[derive(Clone, Copy)]
pub(super) struct Narrow(u64);

/// The same in full: offset (9 bits), event (47 bits), class (28 bits), creation time (44 bits).
#[derive(Clone, Copy)]
pub(super) struct Wide(u64, u64);

trait Row: Copy {
    fn offset(self) -> u64;
}

const NARROW_EVENT_BITS: u32 = 20;
const NARROW_MS_BITS: u32 = 21;
const NARROW_CLASS_BITS: u32 = 14;
const _: () =
    assert!(PAGE_BITS + NARROW_EVENT_BITS + NARROW_MS_BITS + NARROW_CLASS_BITS == u64::BITS);

const EVENT_BITS: u32 = 47;
const MS_BITS: u32 = 44;
const CLASS_LOW_BITS: u32 = 20;

const fn low(bits: u32, of: u64) -> u64 {
    of & ((1 << bits) - 1)
}

impl Row for Narrow {
    #[inline]
    fn offset(self) -> u64 {
        low(PAGE_BITS, self.0)
    }
}

impl Narrow {
    /// `None` when it does not fit.
    fn new(offset: u64, first: (u64, u64), origin: Origin) -> Option<Self> {
        let events = origin.event.checked_sub(first.0)?.checked_sub(offset)?;
        let ms = origin.created_ms.checked_sub(first.1)?;
        let class = u64::from(origin.class.0);
        let fits = events >> NARROW_EVENT_BITS | ms >> NARROW_MS_BITS | class >> NARROW_CLASS_BITS;
        let [ms_at, class_at] = Self::PLACES;
        (fits == 0).then_some(Self(offset | events << PAGE_BITS | ms << ms_at | class << class_at))
    }

    const PLACES: [u32; 2] = {
        let ms = PAGE_BITS + NARROW_EVENT_BITS;
        [ms, ms + NARROW_MS_BITS]
    };

    /// Where the job `offset` came from.
    #[inline]
    fn origin(self, offset: u64, first: (u64, u64)) -> Origin {
        let [ms_at, class_at] = Self::PLACES;
        Origin {
            event: first.0 + low(NARROW_EVENT_BITS, self.0 >> PAGE_BITS) + offset,
            created_ms: first.1 + low(NARROW_MS_BITS, self.0 >> ms_at),
            class: ClassId((self.0 >> class_at) as u32),
        }
    }
}

impl Row for Wide {
    #[inline]
    fn offset(self) -> u64 {
        low(PAGE_BITS, self.0)
    }
}

impl Wide {
    fn new(offset: u64, origin: Origin) -> Self {
        let class = u64::from(origin.class.0);
        assert!(origin.event < 1 << EVENT_BITS, "event sequence beyond 47 bits");
        assert!(origin.created_ms < 1 << MS_BITS, "creation time beyond the year 2527");
        assert!(class < 1 << 28, "too many classes");
        Self(
            offset | origin.event << PAGE_BITS | (class >> CLASS_LOW_BITS) << 56,
            origin.created_ms | class << MS_BITS,
        )
    }

    #[inline]
    fn origin(self, offset: u64) -> Origin {
        let class = (self.0 >> 56) << CLASS_LOW_BITS | self.1 >> MS_BITS;
        Origin {
            event: low(EVENT_BITS, self.0 >> PAGE_BITS) + (offset - self.offset()),
            created_ms: low(MS_BITS, self.1),
            class: ClassId(class as u32),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Narrow { event: 0, created_ms: 0, rows: Vec::new() }
    }
}

/// The last row at or before `offset`, and the offset of the one behind it.
///
/// Offsets rise, so there are at most `offset` rows before it and at most as many behind as the page has offsets
/// left: the more rows, the fewer places it can have. With a row for each job there is only one.
#[inline]
fn row_of<R: Row>(rows: &[R], offset: u64) -> (R, u64) {
    let least = (rows.len() + offset as usize).saturating_sub(PAGE as usize);
    let most = rows.len().min(offset as usize + 1);
    let after = least + rows[least..most].partition_point(|row| row.offset() <= offset);
    (rows[after - 1], rows.get(after).map_or(PAGE, |row| row.offset()))
}

impl Rows {
    /// Jobs from `offset` to the next row or the end of the page came from there.
    pub(super) fn push(&mut self, offset: u64, origin: Origin) {
        if let Self::Narrow { event, created_ms, rows } = self {
            if rows.is_empty() {
                // Other events of this page are not before, whatever their offset.
                (*event, *created_ms) = (origin.event.saturating_sub(offset), origin.created_ms);
            }
            if let Some(row) = Narrow::new(offset, (*event, *created_ms), origin) {
                return rows.push(row);
            }
            self.widen();
        }
        let Self::Wide(rows) = self else { unreachable!("just widened") };
        rows.push(Wide::new(offset, origin));
    }

    /// The job `offset` came from there, and so did those behind it up to the next row.
    pub(super) fn put(&mut self, offset: u64, origin: Origin) {
        fn put<R: Row>(rows: &mut Vec<R>, row: R) {
            match rows.binary_search_by_key(&row.offset(), |row| row.offset()) {
                Ok(at) => rows[at] = row,
                Err(at) => rows.insert(at, row),
            }
        }
        if let Self::Narrow { event, created_ms, rows } = self {
            if rows.is_empty() {
                return self.push(offset, origin);
            }
            if let Some(row) = Narrow::new(offset, (*event, *created_ms), origin) {
                return put(rows, row);
            }
            self.widen();
        }
        let Self::Wide(rows) = self else { unreachable!("just widened") };
        put(rows, Wide::new(offset, origin));
    }

    fn widen(&mut self) {
        let Self::Narrow { event, created_ms, rows } = self else { return };
        let first = (*event, *created_ms);
        let wide = |row: &Narrow| Wide::new(row.offset(), row.origin(row.offset(), first));
        *self = Self::Wide(rows.iter().map(wide).collect());
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            Self::Narrow { rows, .. } => rows.shrink_to_fit(),
            Self::Wide(rows) => rows.shrink_to_fit(),
        }
    }

    /// Where a job came from, and the first offset behind it that came from elsewhere.
    ///
    /// # Panics
    /// When no row is at or before it.
    #[inline]
    pub(super) fn of(&self, offset: u64) -> (Origin, u64) {
        match self {
            Self::Narrow { event, created_ms, rows } => {
                let (row, end) = row_of(rows, offset);
                (row.origin(offset, (*event, *created_ms)), end)
            }
            Self::Wide(rows) => {
                let (row, end) = row_of(rows, offset);
                (row.origin(offset), end)
            }
        }
    }

    /// The same, if a row is at or before it.
    pub(super) fn find(&self, offset: u64) -> Option<(Origin, u64)> {
        let first = match self {
            Self::Narrow { rows, .. } => rows.first().map(|row| row.offset()),
            Self::Wide(rows) => rows.first().map(|row| row.offset()),
        };
        first.filter(|first| *first <= offset).map(|_| self.of(offset))
    }

    /// Where the job `offset` would have come from if it belonged to the last row.
    #[inline]
    pub(super) fn last(&self, offset: u64) -> Option<Origin> {
        match self {
            Self::Narrow { event, created_ms, rows } => {
                rows.last().map(|row| row.origin(offset, (*event, *created_ms)))
            }
            Self::Wide(rows) => rows.last().map(|row| row.origin(offset)),
        }
    }

    pub(super) fn check(&self) {
        let sorted = match self {
            Self::Narrow { rows, .. } => rows.is_sorted_by(|a, b| a.offset() < b.offset()),
            Self::Wide(rows) => rows.is_sorted_by(|a, b| a.offset() < b.offset()),
        };
        assert!(sorted, "rows out of order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(event: u64, created_ms: u64, class: u32) -> Origin {
        Origin { event, created_ms, class: ClassId(class) }
    }

    #[test]
    fn a_wide_row_holds_the_largest_values() {
        let origin = origin((1 << 47) - 600, (1 << 44) - 1, (1 << 28) - 1);
        assert_eq!(Wide::new(511, origin).origin(511), origin);
        assert_eq!(Wide::new(3, origin).origin(5), Origin { event: origin.event + 2, ..origin });
    }

    #[test]
    fn a_row_is_found_wherever_others_are() {
        let mut random = 1_u64;
        for most in [1, 2, 50, 300, 400, 511, 512] {
            let (mut rows, mut starts) = (Rows::default(), Vec::new());
            for offset in 0..PAGE {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if offset == 0 || random >> 55 < most {
                    rows.push(offset, origin(1 << 20 | offset, 9, starts.len() as u32));
                    starts.push(offset);
                }
                for at in 0..=offset {
                    let row = starts.partition_point(|start| *start <= at) - 1;
                    let (origin, end) = rows.of(at);
                    assert_eq!(origin.class, ClassId(row as u32));
                    assert_eq!(end, starts.get(row + 1).copied().unwrap_or(PAGE));
                }
            }
        }
    }

    #[test]
    fn rows_widen_when_one_does_not_fit_and_none_is_lost() {
        let first = origin(1 << 40, 1 << 43, 7);
        let events = (1 << NARROW_EVENT_BITS) - 1;
        let ms = (1 << NARROW_MS_BITS) - 1;
        let class = (1 << NARROW_CLASS_BITS) - 1;
        let largest = origin(first.event + 100 + events, first.created_ms + ms, class);
        let beyond = [
            Origin { event: largest.event + 101, ..largest },
            Origin { created_ms: largest.created_ms + 1, event: largest.event + 100, ..largest },
            Origin { class: ClassId(class + 1), event: largest.event + 100, ..largest },
        ];
        for next in beyond {
            let mut rows = Rows::default();
            rows.push(5, first);
            rows.push(105, largest);
            assert!(matches!(rows, Rows::Narrow { .. }));
            assert_eq!(rows.of(204).0, Origin { event: largest.event + 99, ..largest });
            rows.push(205, next);
            assert!(matches!(rows, Rows::Wide(_)), "{next:?}");
            assert_eq!(rows.of(5), (first, 105));
            assert_eq!(rows.of(104), (Origin { event: first.event + 99, ..first }, 105));
            assert_eq!(rows.of(105), (largest, 205));
            assert_eq!(rows.of(511), (Origin { event: next.event + 306, ..next }, PAGE));
            rows.check();
        }
    }
}
