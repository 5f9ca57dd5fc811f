//! Carrying one parcel: attempt, wait, attempt again, halve, bury, book, until nothing of it is left.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use journal::Offset;
use model::{Failure, RefusedItem};

use super::backoff::Backoff;
use super::bury::{letters, unreadable};
use super::progress::{Outcome, Progress};
use super::route::{Phase, Route};
use crate::deadletter::Letter;
use crate::status::Knock;
use crate::{Edges, Lease, Parcel, PeerRefused, Receipt};

/// A parcel that waits for its turn to try is looked at again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The drain came before the parcel was through; what is not booked is held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Carries `parcel` to its end.
pub(crate) async fn carry(route: Arc<Route>, parcel: Parcel, _lease: Lease) -> Result<(), Stopped> {
    let parcel = route.rule(parcel).await?;
    let mut pieces = route.split(parcel).await;
    pieces.reverse();
    while let Some(piece) = pieces.pop() {
        if let Some((first, second)) = place(&route, piece).await? {
            pieces.push(second);
            pieces.push(first);
        }
    }
    Ok(())
}

/// Brings one piece to its end, or halves it.
async fn place(route: &Route, mut piece: Parcel) -> Result<Option<(Parcel, Parcel)>, Stopped> {
    let mut backoff = Backoff::new(&route.options);
    let mut knock = Knock::default();
    loop {
        piece = route.give_up(piece);
        if piece.parts.is_empty() {
            return Ok(None);
        }
        if !route.may_knock(&mut knock).await? {
            continue;
        }
        let Some(turn) = route.unless_stopped(route.pace.turn()).await? else { return Err(Stopped) };
        let heard = route.health.heard();
        let answer = attempt(route, &piece).await;
        match &answer {
            None | Some(Err(Failure::Retry { .. } | Failure::Unreachable { .. })) => {
                route.pace.pushed_back(turn);
            }
            Some(_) => route.pace.answered(turn),
        }
        let (after, reason) = match answer {
            None => {
                let reason = format!("no answer within {:?}", route.options.deadline);
                route.health.unanswered(&route.name, &reason, heard, &mut knock);
                (None, reason)
            }
            Some(Ok(Receipt::Pending)) if route.edges != Edges::Settled => {
                let reason = "the sink put off a parcel that it never settles".to_owned();
                route.health.retried(&route.name, &reason, &mut knock);
                (None, reason)
            }
            Some(Ok(receipt)) => {
                route.health.answered();
                received(route, &piece, &receipt);
                return Ok(None);
            }
            Some(Err(Failure::Refused { items })) => {
                route.health.answered();
                refused(route, &piece, items).await?;
                return Ok(None);
            }
            Some(Err(Failure::RefusedWhole { reason } | Failure::TooLarge { reason })) => {
                route.health.answered();
                return halve(route, piece, reason).await;
            }
            Some(Err(Failure::Retry { after, reason })) => {
                route.health.retried(&route.name, &reason, &mut knock);
                (after, reason)
            }
            Some(Err(Failure::Unreachable { reason })) => {
                route.health.missed(&route.name, &reason);
                (None, reason)
            }
        };
        tracing::debug!(sink = &*route.name, signal = %route.signal, error = reason, "attempt did not end well");
        let wait = backoff.next(after, &mut route.rng());
        route.pause(wait).await?;
        piece.attempt = piece.attempt.saturating_add(1);
    }
}

/// Makes one attempt; `None` when no answer came before the deadline.
async fn attempt(route: &Route, piece: &Parcel) -> Option<Result<Receipt, Failure>> {
    // Noted before the sink has it, so that it may settle at any moment from now on.
    handed(route, piece, Progress::pend);
    let delivery = AssertUnwindSafe(route.sink.deliver(piece)).catch_unwind();
    let answer = match tokio::time::timeout(route.options.deadline, delivery).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(_panic)) => Some(Err(Failure::Retry { after: None, reason: "the sink panicked".to_owned() })),
        Err(_) => None,
    };
    route.attempts.count(answer.as_ref());
    if answer != Some(Ok(Receipt::Pending)) {
        handed(route, piece, Progress::take_back);
    }
    answer
}

/// For a sink that settles: notes that it has the piece, or that it has not after all.
fn handed(route: &Route, piece: &Parcel, note: fn(&mut Progress, Offset, u64)) {
    if route.edges == Edges::Settled {
        let mut progress = route.progress();
        piece.parts.iter().for_each(|part| note(&mut progress, part.offset, part.len().into()));
    }
}

fn received(route: &Route, piece: &Parcel, receipt: &Receipt) {
    let mut progress = route.progress();
    match receipt {
        Receipt::Pending => {}
        Receipt::Delivered => {
            piece
                .parts
                .iter()
                .for_each(|part| progress.book(part.offset, Outcome::Delivered, part.len().into()));
        }
        Receipt::Partly(refused) => partly(&mut progress, piece, 0, Some(refused)),
        Receipt::LeftOut { items, refused, .. } => partly(&mut progress, piece, *items, refused.as_ref()),
    }
    drop(progress);
    if let Receipt::LeftOut { items, reason, .. } = receipt {
        route.health.noted(&format!("{items} items were left out: {reason}"));
    }
    if let Receipt::Partly(refused) | Receipt::LeftOut { refused: Some(refused), .. } = receipt {
        route.health.noted(&format!("the peer refused {} items: {}", refused.items, refused.reason));
    }
}

/// Books a piece of which `left_out` items never left and the peer refused some more.
fn partly(progress: &mut Progress, piece: &Parcel, left_out: u32, refused: Option<&PeerRefused>) {
    let (refused, upper_bound) = refused.map_or((0, false), |refused| (refused.items, refused.upper_bound));
    for (part, [left_out, refused]) in piece.parts.iter().zip(shares(piece, [left_out, refused])) {
        progress.book(part.offset, Outcome::Dropped("untranslatable"), left_out.into());
        progress.book(part.offset, Outcome::PeerRefused { upper_bound }, refused.into());
        progress.book(part.offset, Outcome::Delivered, (part.len() - left_out - refused).into());
    }
}

/// Spreads two numbers over the parts by their size, since nobody says which items were meant. What exceeds the piece is cut
/// from the second.
fn shares(piece: &Parcel, [first, second]: [u32; 2]) -> Vec<[u32; 2]> {
    let all = u64::from(piece.items()).max(1);
    let both = (u64::from(first) + u64::from(second)).min(all);
    let mut first = u64::from(first).min(all);
    let mut before = 0;
    let mut given = 0;
    let share = |part: &crate::Part| {
        before += u64::from(part.len());
        // Rounded on the running sum, so that the shares add up and none exceeds its part.
        let upto = both * before / all;
        let share = upto - given;
        given = upto;
        let of_first = share.min(first);
        first -= of_first;
        [of_first as u32, (share - of_first) as u32]
    };
    piece.parts.iter().map(share).collect()
}

/// Buries the items that the peer named; the rest it has.
async fn refused(route: &Route, piece: &Parcel, mut items: Vec<RefusedItem>) -> Result<(), Stopped> {
    let all = piece.items();
    items.retain(|item| item.index < all);
    items.sort_by_key(|item| item.index);
    items.dedup_by_key(|item| item.index);
    bury(route, piece, items.clone()).await?;
    let mut dead = vec![0; piece.parts.len()];
    for item in &items {
        if let Some(place) = piece.place(item.index) {
            dead[place.part] += 1;
        }
    }
    let mut progress = route.progress();
    for (part, dead) in piece.parts.iter().zip(dead) {
        progress.book(part.offset, Outcome::DeadLetter, u64::from(dead));
        let rest = u64::from(part.len() - dead);
        match route.edges {
            Edges::Settled => progress.pend(part.offset, rest),
            Edges::Free | Edges::Recorded => progress.book(part.offset, Outcome::Delivered, rest),
        }
    }
    Ok(())
}

/// Halves what was refused whole. One item, or a frame that nobody can read, is buried.
async fn halve(route: &Route, piece: Parcel, reason: String) -> Result<Option<(Parcel, Parcel)>, Stopped> {
    let items = piece.items();
    let alone = items == 1 || (piece.parts.len() == 1 && route.on_worker(piece.clone(), unreadable).await);
    if !alone {
        let (first, second) = (piece.cut(0..items / 2), piece.cut(items / 2..items));
        return Ok(Some((first, second)));
    }
    let refused = (0..items).map(|index| RefusedItem { index, reason: reason.clone() }).collect();
    bury(route, &piece, refused).await?;
    let mut progress = route.progress();
    for part in &piece.parts {
        progress.book(part.offset, Outcome::DeadLetter, part.len().into());
    }
    Ok(None)
}

/// Makes dead letters of `items` and writes them.
async fn bury(route: &Route, piece: &Parcel, items: Vec<RefusedItem>) -> Result<(), Stopped> {
    if items.is_empty() {
        return Ok(());
    }
    let now = route.clock.now();
    let first = items.first().map_or_else(String::new, |item| item.reason.clone());
    let letters = route.on_worker(piece.clone(), move |piece| letters(piece, &items, now)).await;
    write(route, Arc::new(letters), &first).await
}

/// Writes letters and waits until they are durable, however long the disk takes to have room.
pub(super) async fn write(route: &Route, letters: Arc<Vec<Letter>>, first: &str) -> Result<(), Stopped> {
    let count: u64 = letters.iter().map(|letter| u64::from(letter.head.items)).sum();
    let mut backoff = Backoff::new(&route.options);
    loop {
        match route.bury(Arc::clone(&letters)).await {
            Ok(()) => break,
            Err(error) => {
                route.health.noted(&format!("dead letters cannot be written: {error}"));
                let wait = backoff.next(None, &mut route.rng()).max(Duration::from_millis(10));
                route.pause(wait).await?;
            }
        }
    }
    route.health.noted(&format!("{count} items became dead letters: {first}"));
    if route.health.may_tell() {
        let (sink, signal) = (&*route.name, route.signal);
        tracing::warn!(sink, signal = %signal, items = count, error = first, "items become dead letters");
    }
    Ok(())
}

impl Route {
    /// Waits, or stops at once when the drain has come.
    pub(crate) async fn pause(&self, wait: Duration) -> Result<(), Stopped> {
        if *self.phase.borrow() != Phase::Run {
            return Err(Stopped);
        }
        let mut mark = self.mark.subscribe();
        tokio::select! {
            stopped = self.unless_stopped(tokio::time::sleep(wait)) => stopped, // waits for time: the backoff
            // What was waited for may not have to be delivered any more.
            _ = mark.changed() => Ok(()),
        }
    }

    /// Waits for the turn to try, but no longer than a moment, or until the journal gives up something: what waits may be too old
    /// by then, or not wanted any more. Says whether it is this one's turn.
    async fn may_knock(&self, knock: &mut Knock) -> Result<bool, Stopped> {
        let mut mark = self.mark.subscribe();
        let turn = async {
            tokio::select! {
                biased;
                () = self.health.turn(knock) => true,
                _ = mark.changed() => false,
                () = tokio::time::sleep(LOOK_AGAIN) => false, // waits for time: items grow too old
            }
        };
        self.unless_stopped(turn).await
    }

    /// The future's result, unless the drain comes first.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        let mut phase = self.phase.clone();
        tokio::select! {
            biased;
            result = future => Ok(result),
            _ = phase.wait_for(|phase| *phase != Phase::Run) => Err(Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel::tests::{parcel, part};

    fn check(sizes: &[u32], numbers: [u32; 2], expected: &[[u32; 2]]) {
        let piece =
            parcel(sizes.iter().zip(1..).map(|(size, offset)| part(offset, 0..*size, *size)).collect());
        assert_eq!(shares(&piece, numbers), expected);
    }

    #[test]
    fn what_the_peer_refused_is_spread_by_size_and_adds_up() {
        check(&[10], [0, 3], &[[0, 3]]);
        check(&[10, 10], [0, 1], &[[0, 0], [0, 1]]);
        check(&[1, 1, 98], [0, 50], &[[0, 0], [0, 1], [0, 49]]);
        check(&[2, 3], [0, 9], &[[0, 2], [0, 3]]);
        check(&[2, 3], [0, 0], &[[0, 0], [0, 0]]);
        check(&[1, 1], [1, 1], &[[1, 0], [0, 1]]);
        check(&[4, 2, 4], [2, 3], &[[2, 0], [0, 1], [0, 2]]);
        check(&[2, 3], [4, 4], &[[2, 0], [2, 1]]);
        check(&[2, 3], [u32::MAX, u32::MAX], &[[2, 0], [3, 0]]);
    }
}
