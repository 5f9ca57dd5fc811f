//! How a sink that gathers on its own (`Edges::Settled`) moves the cursor.

use std::sync::Arc;

use journal::Offset;

use super::route::Route;
use crate::BoxFuture;
use crate::sink::Settle;

/// The courier's side of a `Settler`.
pub(crate) struct Door(pub(crate) Arc<Route>);

impl Settle for Door {
    fn begin(&self, last: Offset) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            {
                let mut progress = self.0.progress();
                progress.all_given(last)?;
                progress.begin(last, self.0.rules())?;
                if !progress.is_dirty() {
                    // The same range was begun before, durably.
                    return Ok(());
                }
            }
            self.0.checkpoint().await
        })
    }

    fn settle(&self, last: Offset) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            self.0.progress().settle(last)?;
            self.0.checkpoint().await
        })
    }
}
