//! What is in a job: its number, when it was meant to be sent, and filler. The worker reads the first two back, so a payload
//! that was mixed up or cut on the way is noticed.

/// Bytes that the number and the time take.
pub const PAYLOAD_BYTES_MIN: usize = 16;

/// Appends the payload of job `number`.
pub fn write(number: u64, sent_ns: u64, bytes: usize, out: &mut Vec<u8>) {
    assert!(bytes >= PAYLOAD_BYTES_MIN, "options are checked before");
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&sent_ns.to_le_bytes());
    // The filler depends on the number: mixed-up halves do not match, and it does not compress to nothing.
    out.resize(out.len() + bytes - PAYLOAD_BYTES_MIN, filler(number));
}

/// Number and time, or nothing when these are not the bytes that [`write()`] made.
#[must_use]
pub fn read(payload: &[u8], bytes: usize) -> Option<(u64, u64)> {
    if payload.len() != bytes {
        return None;
    }
    let (number, rest) = payload.split_first_chunk::<8>()?;
    let (sent_ns, rest) = rest.split_first_chunk::<8>()?;
    let number = u64::from_le_bytes(*number);
    let fill = filler(number);
    rest.iter().all(|b| *b == fill).then(|| (number, u64::from_le_bytes(*sent_ns)))
}

fn filler(number: u64) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_back_and_damage_is_noticed() {
        for bytes in [16, 17, 200] {
            let mut payload = Vec::new();
            write(77, 123_456, bytes, &mut payload);
            assert_eq!(read(&payload, bytes), Some((77, 123_456)));
            assert_eq!(read(&payload[1..], bytes), None);
            assert_eq!(read(&payload, bytes + 1), None);
        }
        let mut payload = Vec::new();
        write(77, 0, 200, &mut payload);
        payload[199] ^= 1;
        assert_eq!(read(&payload, 200), None);
    }
}
