//! As much of beanstalkd's protocol as the load needs.

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// Where jobs go to or come from is agreed.
    Set,
    /// A job is there, or is gone for good.
    Done,
    /// There is no such job of this connection.
    NotFound,
    /// A job: its id and its payload.
    Reserved(u64, &'a [u8]),
    /// There is no job.
    Nothing,
}

/// The reply at the front and its length, or nothing when it is not all there.
pub(crate) fn reply(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[..end]);
    let after = end + 2;
    let mut words = line.split(' ');
    let reply = match words.next().unwrap_or_default() {
        "USING" | "WATCHING" => Reply::Set,
        "INSERTED" | "DELETED" => Reply::Done,
        "NOT_FOUND" => Reply::NotFound,
        "TIMED_OUT" | "DEADLINE_SOON" => Reply::Nothing,
        "RESERVED" => {
            let mut number = || words.next()?.parse::<u64>().ok();
            let (id, len) = number().zip(number()).ok_or("a bad number")?;
            let all = after + len as usize + 2;
            let payload = bytes.get(after..all - 2);
            return Ok(payload
                .filter(|_| bytes.len() >= all)
                .map(|payload| (Reply::Reserved(id, payload), all)));
        }
        _ => return Err(format!("beanstalkd says {line}")),
    };
    Ok(Some((reply, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_whole_or_not_at_all() {
        let cases: [(&[u8], Reply<'_>); 5] = [
            (b"USING q\r\n", Reply::Set),
            (b"INSERTED 12\r\n", Reply::Done),
            (b"NOT_FOUND\r\n", Reply::NotFound),
            (b"RESERVED 12 5\r\na\r\nbc\r\n", Reply::Reserved(12, b"a\r\nbc")),
            (b"TIMED_OUT\r\n", Reply::Nothing),
        ];
        for (bytes, expected) in cases {
            assert_eq!(reply(bytes), Ok(Some((expected, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(reply(&bytes[..cut]), Ok(None), "{cut}");
            }
        }
        assert!(reply(b"OUT_OF_MEMORY\r\n").is_err());
        assert!(reply(b"RESERVED x\r\n").is_err());
    }
}
