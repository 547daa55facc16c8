//! How much one client may ask for.

use std::num::NonZeroU32;

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::RateLimits;
use crate::error::ApiError;

/// Token buckets of every client, by a hash of what it is known by.
pub(crate) struct Limiter {
    buckets: Option<Buckets>,
}

struct Buckets {
    reads: Bucket,
    writes: Bucket,
}

struct Bucket {
    of: DefaultKeyedRateLimiter<u64>,
    burst: NonZeroU32,
}

impl Bucket {
    fn new(rps: u32, burst: u32) -> Self {
        let one = NonZeroU32::MIN;
        let (rps, burst) =
            (NonZeroU32::new(rps).unwrap_or(one), NonZeroU32::new(burst).unwrap_or(one));
        Self { of: RateLimiter::dashmap(Quota::per_second(rps).allow_burst(burst)), burst }
    }
}

impl Limiter {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        let buckets = limits.map(|limits| Buckets {
            reads: Bucket::new(limits.read_rps, limits.read_burst),
            writes: Bucket::new(limits.write_rps, limits.write_burst),
        });
        Self { buckets }
    }

    /// Takes `cost` tokens, or as many as there can be.
    ///
    /// # Errors
    /// `RATE_LIMITED` when there are not as many.
    pub(crate) fn take(&self, client: u64, is_read: bool, cost: u32) -> Result<(), ApiError> {
        let Some(buckets) = &self.buckets else { return Ok(()) };
        let bucket = if is_read { &buckets.reads } else { &buckets.writes };
        let Some(cost) = NonZeroU32::new(cost) else { return Ok(()) };
        match bucket.of.check_key_n(&client, cost.min(bucket.burst)) {
            Ok(Ok(())) => Ok(()),
            _ => Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "too many requests of this client",
            )),
        }
    }

    /// Forgets the buckets that are full.
    pub(crate) fn forget_idle(&self) {
        if let Some(buckets) = &self.buckets {
            buckets.reads.of.retain_recent();
            buckets.writes.of.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_own_buckets_and_a_large_batch_takes_a_full_one() {
        let limits = RateLimits { read_rps: 1, read_burst: 2, write_rps: 1, write_burst: 10 };
        let limiter = Limiter::new(Some(limits));
        assert!(limiter.take(1, true, 1).is_ok() && limiter.take(1, true, 1).is_ok());
        assert_eq!(limiter.take(1, true, 1).expect_err("empty").code, "RATE_LIMITED");
        assert!(limiter.take(2, true, 1).is_ok());
        assert!(limiter.take(1, false, 500).is_ok());
        assert!(limiter.take(1, false, 1).is_err());
        assert!(limiter.take(1, false, 0).is_ok());
        assert!(Limiter::new(None).take(1, false, 1_000_000).is_ok());
    }
}
