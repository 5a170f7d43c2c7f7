//! The chunks of a batch that are on their way into the order.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};

use super::ranges::Ranges;
use super::turns::Turn;
use engine::{AppendError, Appended};
use wire::data::Range;

/// Chunks of one batch that wait for their answers at a time; with more, the body is not read.
const MOST: usize = 96;

/// Chunks on their way, in the order of the body.
///
/// When it is dropped before they are decided (the writer's connection broke), their turn is kept until they are: the request that
/// resumes the upload must learn about all of them.
pub(super) struct InFlight {
    flying: FuturesOrdered<BoxFuture<'static, Landed>>,
    turn: Option<Turn>,
    pub(super) ranges: Ranges,
    /// The shard of the last entry.
    pub(super) shard: Option<Arc<str>>,
}

/// A chunk's place in the upload, its entries, and its answer.
type Landed = (u64, u64, Result<Appended, AppendError>);

impl InFlight {
    /// `ranges`: what lies before its chunks.
    pub(super) fn new(turn: Turn, ranges: Ranges) -> Self {
        Self {
            flying: FuturesOrdered::new(),
            turn: Some(turn),
            ranges,
            shard: None,
        }
    }

    pub(super) fn push(
        &mut self,
        first: u64,
        entries: u64,
        answer: impl Future<Output = Result<Appended, AppendError>> + Send + 'static,
    ) {
        let landed = answer.map(move |answer| (first, entries, answer));
        self.flying.push_back(landed.boxed());
    }

    /// Whether no more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.flying.len() >= MOST
    }

    /// Waits for the next answer, in the order of the body; pending when there is none to wait for.
    pub(super) async fn land(&mut self) -> Result<(), AppendError> {
        match self.flying.next().await {
            Some(landed) => self.note(landed),
            None => std::future::pending().await,
        }
    }

    /// Waits for all answers. The result is the first failure; later answers still count. If the outcome of one is unknown, that is the
    /// result, because any other result says that nothing more is in the log.
    pub(super) async fn land_all(&mut self) -> Result<(), AppendError> {
        let mut result = Ok(());
        while let Some(landed) = self.flying.next().await {
            result = match self.note(landed) {
                Err(AppendError::Unknown) => Err(AppendError::Unknown),
                other => result.and(other),
            };
        }
        result
    }

    fn note(&mut self, (first, entries, answer): Landed) -> Result<(), AppendError> {
        let appended = answer?;
        self.ranges.push(Range {
            first,
            index: appended.index,
            entries,
        });
        self.shard = Some(appended.shard);
        Ok(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let mut flying = std::mem::take(&mut self.flying);
        let turn = self.turn.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                while flying.next().await.is_some() {}
                drop(turn);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tlog::{GlobalIndex, LeafIndex};

    use super::super::turns::Turns;
    use super::*;

    #[tokio::test]
    async fn an_unknown_outcome_is_the_result_whatever_else_failed() {
        let appended = || {
            Ok(Appended {
                index: GlobalIndex::new(7),
                shard: "a".into(),
                leaf_index: LeafIndex::new(7),
            })
        };
        let (closing, unknown) = (|| Err(AppendError::Closing), || Err(AppendError::Unknown));
        for (answers, result) in [
            ([appended(), appended(), appended()], Ok(())),
            (
                [closing(), unknown(), appended()],
                unknown().map(|_: Appended| ()),
            ),
            (
                [unknown(), closing(), appended()],
                unknown().map(|_: Appended| ()),
            ),
            (
                [appended(), closing(), appended()],
                closing().map(|_: Appended| ()),
            ),
        ] {
            let turn = Turns::default().take("dev", None, true).await.unwrap();
            let mut flight = InFlight::new(turn, Ranges::default());
            for (first, answer) in (0..).zip(answers) {
                flight.push(first, 1, ready(answer));
            }
            assert_eq!(
                flight.land_all().await.map_err(|e| e.to_string()),
                result.map_err(|e| e.to_string())
            );
        }
    }
}
