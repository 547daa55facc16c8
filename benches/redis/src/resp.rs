//! As much of Redis' protocol as the load needs.

/// One reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// `+` or `:`.
    Simple(&'a [u8]),
    /// `-`.
    Error(&'a [u8]),
    /// `$`, or nothing for `$-1`.
    Bulk(Option<&'a [u8]>),
}

/// Appends a command.
pub(crate) fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    header(b'*', words.len(), out);
    for word in words {
        bulk(word, out);
    }
}

/// Appends the beginning of a list or a word.
pub(crate) fn header(kind: u8, count: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(count.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a word.
pub(crate) fn bulk(word: &[u8], out: &mut Vec<u8>) {
    header(b'$', word.len(), out);
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// The reply at the front and its length, or nothing when it is not all there.
pub(crate) fn reply(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
    let (line, after) = (&bytes[..end], end + 2);
    let Some((kind, rest)) = line.split_first() else { return Err("an empty reply".into()) };
    match kind {
        b'+' | b':' => Ok(Some((Reply::Simple(rest), after))),
        b'-' => Ok(Some((Reply::Error(rest), after))),
        // A blocking command that waited in vain answers with no array or no word.
        b'$' | b'*' if rest == b"-1" => Ok(Some((Reply::Bulk(None), after))),
        b'$' => {
            let len: usize = std::str::from_utf8(rest)
                .ok()
                .and_then(|r| r.parse().ok())
                .ok_or("a bad length")?;
            let all = after + len + 2;
            Ok((bytes.len() >= all).then(|| (Reply::Bulk(Some(&bytes[after..after + len])), all)))
        }
        _ => Err(format!("an unknown reply {:?}", String::from_utf8_lossy(line))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_whole_or_not_at_all() {
        let cases: [(&[u8], Reply<'_>); 5] = [
            (b"+OK\r\n", Reply::Simple(b"OK")),
            (b":12\r\n", Reply::Simple(b"12")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b"$5\r\na\r\nbc\r\n", Reply::Bulk(Some(b"a\r\nbc"))),
            (b"$-1\r\n", Reply::Bulk(None)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(reply(bytes), Ok(Some((expected, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(reply(&bytes[..cut]), Ok(None), "{cut}");
            }
        }
        assert!(reply(b"?\r\n").is_err());
    }
}
