//! What work on jobs used.

use std::collections::BTreeMap;

use jobbie_proto::reply::UsageSum;
use jobbie_proto::request::UsageQuery;
use jobbie_proto::usage::UsageGroup;
use jobbie_proto::{Micros, Request, ShardId};

use crate::{Client, Error};

impl Client {
    /// What was used from the hour that holds `from` to the one that holds `to` (0 is until now), of all shards together and
    /// by name. The server remembers 35 days.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn usage(
        &self,
        from: Micros,
        to: Micros,
        by: UsageGroup,
    ) -> Result<Vec<UsageSum>, Error> {
        let mut all: BTreeMap<String, UsageSum> = BTreeMap::new();
        for shard in (0..self.topology().shards).map(ShardId) {
            let mut after: Option<String> = None;
            loop {
                let query = UsageQuery { from, to, by, after: after.as_deref() };
                let mut request = Request { usage: Some(query), ..Request::default() };
                let page = self.request(shard, &mut request).await?.usage;
                let Some(last) = page.last() else { break };
                after = Some(last.name.clone());
                for UsageSum { name, reports, amounts } in page {
                    let sum = all.entry(name.clone()).or_default();
                    sum.name = name;
                    sum.reports += reports;
                    sum.amounts.add(&amounts);
                }
            }
        }
        Ok(all.into_values().collect())
    }
}
