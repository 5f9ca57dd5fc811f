//! The sink's rules between the journal and the first attempt: what they leave out is booked at once, and what no rule could be
//! applied to is held back as a dead letter without content.

use std::sync::Arc;

use super::attempt::{Stopped, write};
use super::bury::withheld;
use super::progress::Outcome;
use super::route::Route;
use crate::Parcel;

impl Route {
    /// What the sink is to be given of `parcel`; without parts where that is nothing.
    pub(crate) async fn rule(&self, parcel: Parcel) -> Result<Parcel, Stopped> {
        let Some(rules) = self.options.rules.clone() else { return Ok(parcel) };
        if parcel.rules != 0 {
            // It went through them before: a dead letter holds what the sink was given.
            return Ok(parcel);
        }
        let ruled = self.on_worker(parcel, move |parcel| rules.apply(parcel)).await;
        if let Some((_, first)) = ruled.unreadable.first() {
            let now = self.clock.now();
            let withheld = |(part, reason)| withheld(&ruled.parcel, part, reason, now);
            let letters = ruled.unreadable.iter().map(|(part, reason)| withheld((part, reason))).collect();
            write(self, Arc::new(letters), first).await?;
        }
        let mut progress = self.progress();
        for (part, _) in &ruled.unreadable {
            progress.book(part.offset, Outcome::DeadLetter, part.len().into());
        }
        for gone in &ruled.gone {
            progress.book(gone.offset, Outcome::Dropped("filtered"), gone.filtered.into());
            progress.book(gone.offset, Outcome::Dropped("sampled"), gone.sampled.into());
            progress.book(gone.offset, Outcome::Dropped("joined"), gone.joined.into());
        }
        drop(progress);
        Ok(ruled.parcel)
    }
}
