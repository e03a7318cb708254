//! Buckets of the latency histograms: the programs count into them, user space reads quantiles out.

/// Buckets of a latency histogram.
pub const LATENCY_BUCKETS: u32 = 208;

/// Bucket of a latency, microseconds: exact below 8, then eight buckets to each power of two, 1/8 of it
/// wide each.
#[must_use]
#[inline]
pub const fn latency_bucket(us: u64) -> u32 {
    if us < 8 {
        return (us & 7) as u32;
    }
    let power = us.ilog2();
    let bucket = (power - 2) * 8 + ((us >> (power - 3)) & 7) as u32;
    if bucket < LATENCY_BUCKETS { bucket } else { LATENCY_BUCKETS - 1 }
}

/// The least latency of a bucket, microseconds.
#[must_use]
pub const fn latency_floor_us(bucket: u32) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    (8 + (bucket % 8) as u64) << (bucket / 8 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_in_order() {
        for bucket in 0..LATENCY_BUCKETS {
            assert_eq!(latency_bucket(latency_floor_us(bucket)), bucket, "{bucket}");
            if bucket > 0 {
                assert_eq!(latency_bucket(latency_floor_us(bucket) - 1), bucket - 1, "{bucket}");
            }
        }
        assert_eq!(latency_bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
