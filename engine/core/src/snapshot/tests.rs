use super::*;
use crate::state::State;
use jobbie_proto::ShardId;

fn chunks(state: &State) -> Vec<Vec<u8>> {
    state.snapshot().collect()
}

#[test]
fn every_missing_cut_or_foreign_chunk_is_refused() {
    let whole = chunks(&State::new(ShardId(1), 4));
    assert_eq!(State::restore(&whole).map(|s| s.shard()), Ok(ShardId(1)));
    assert_eq!(State::restore(&whole[..1]).err(), Some(RestoreError::Incomplete(1)));
    assert!(State::restore(&whole[1..]).is_err());
    let none: [Vec<u8>; 0] = [];
    assert_eq!(State::restore(none).err(), Some(RestoreError::Incomplete(0)));
    for cut in 0..whole[0].len() {
        assert!(State::restore([&whole[0][..cut], &whole[1]]).is_err(), "cut at {cut}");
    }
    let mut newer = whole.clone();
    let at = newer[0].len() - 2;
    newer[0][at] = 2;
    assert_eq!(State::restore(newer).err(), Some(RestoreError::Version(2)));
}
