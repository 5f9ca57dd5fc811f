//! A request taken apart, so that any selection of its items can be put together anew at the cost of that selection alone,
//! however the items lie: what `slice` is for ranges.

use std::ops::Range;

use bytes::Bytes;

use super::{Level, Part};
use crate::walk::fields;
use crate::{Layout, Signal, WireError, put};

/// The items of a request with the wrappers around them. Numbers of items are those of `slice`.
#[derive(Debug, Clone)]
pub struct Pieces {
    plain: Bytes,
    items: Vec<Item>,
    wrappers: Vec<Wrapper>,
    /// Where the wrappers' own fields lie; each wrapper has a stretch of these.
    own: Vec<Range<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    /// Where its field starts, where the field's content does, and where both end.
    start: u32,
    content: u32,
    end: u32,
    /// The innermost wrapper around it.
    wrapper: u32,
}

#[derive(Debug, Clone)]
struct Wrapper {
    /// The wrapper around it.
    outer: u32,
    /// How many lie around it.
    depth: u32,
    /// Its field in the message around it.
    number: u32,
    /// Its own fields, a stretch of `Pieces::own`.
    own: Range<u32>,
    /// At least the bytes that it adds to a request, its items apart.
    weight: usize,
}

/// Stands where no wrapper is: around what lies in the request itself.
const NONE: u32 = u32::MAX;

impl Pieces {
    /// Takes a request apart.
    ///
    /// # Errors
    /// As `count`; `TooMany` beyond 4 GiB.
    pub fn read(signal: Signal, layout: Layout, plain: Bytes) -> Result<Self, WireError> {
        if u32::try_from(plain.len()).is_err() {
            return Err(WireError::TooMany(u32::MAX as usize));
        }
        let mut reader = Reader { plain: &plain, items: Vec::new(), wrappers: Vec::new(), own: Vec::new() };
        reader.below(Level::request(signal, layout), 0..plain.len(), NONE, 0)?;
        let Reader { items, wrappers, own, .. } = reader;
        Ok(Self { plain, items, wrappers, own })
    }

    /// How many items there are.
    pub fn len(&self) -> u32 {
        self.items.len() as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The bytes of one item's message. Panics beyond the last.
    pub fn item(&self, index: u32) -> &[u8] {
        let item = self.items[index as usize];
        &self.plain[item.content as usize..item.end as usize]
    }

    /// The field that one item is in the wrapper around it; `None` for what lies in the request itself, such as the metadata of
    /// remote-write 1.0. Panics beyond the last.
    pub fn field(&self, index: u32) -> Option<u32> {
        let item = self.items[index as usize];
        let mut field = fields(&self.plain[item.start as usize..item.end as usize]);
        let number = field.next()?.ok()?.number;
        (item.wrapper != NONE).then_some(number)
    }

    /// A request of these items alone, in this order, each in the wrappers that it came in; neighbours share theirs. What
    /// stands beside the wrappers in the request itself is left out.
    pub fn request(&self, items: &[u32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.weight(items));
        self.put(items, 0, &mut out);
        out
    }

    /// At least the bytes of `request`, by a few for each wrapper.
    pub fn weight(&self, items: &[u32]) -> usize {
        let mut before = None;
        items.iter().fold(0, |sum, &item| sum + self.added(before.replace(item), item))
    }

    /// How many of the first of these items make a request of at most `max_bytes`; at least one unless there is none.
    pub fn fit(&self, items: &[u32], max_bytes: usize) -> usize {
        let (mut before, mut bytes) = (None, 0);
        for (count, &item) in items.iter().enumerate() {
            bytes += self.added(before.replace(item), item);
            if bytes > max_bytes && count > 0 {
                return count;
            }
        }
        items.len()
    }

    /// What an item adds to a request that ends with the item `before`.
    fn added(&self, before: Option<u32>, item: u32) -> usize {
        let Item { start, end, wrapper, .. } = self.items[item as usize];
        let mut bytes = (end - start) as usize;
        let mut here = wrapper;
        while here != NONE && !before.is_some_and(|before| self.lies_in(before, here)) {
            let wrapper = &self.wrappers[here as usize];
            bytes += wrapper.weight;
            here = wrapper.outer;
        }
        bytes
    }

    fn lies_in(&self, item: u32, wrapper: u32) -> bool {
        let depth = self.wrappers[wrapper as usize].depth;
        self.around(item, depth) == Some(wrapper)
    }

    /// The wrapper around an item that has `depth` others around itself; `None` when the item has not so many.
    fn around(&self, item: u32, depth: u32) -> Option<u32> {
        let mut here = self.items[item as usize].wrapper;
        while here != NONE {
            let wrapper = &self.wrappers[here as usize];
            if wrapper.depth == depth {
                return Some(here);
            }
            here = wrapper.outer;
        }
        None
    }

    fn put(&self, mut items: &[u32], depth: u32, out: &mut Vec<u8>) {
        while let Some((&first, rest)) = items.split_first() {
            let Some(around) = self.around(first, depth) else {
                let item = self.items[first as usize];
                out.extend_from_slice(&self.plain[item.start as usize..item.end as usize]);
                items = rest;
                continue;
            };
            let run = items.iter().take_while(|item| self.around(**item, depth) == Some(around)).count();
            let wrapper = &self.wrappers[around as usize];
            put::message(out, wrapper.number, |out| {
                for own in &self.own[wrapper.own.start as usize..wrapper.own.end as usize] {
                    out.extend_from_slice(&self.plain[own.start as usize..own.end as usize]);
                }
                self.put(&items[..run], depth + 1, out);
            });
            items = &items[run..];
        }
    }
}

struct Reader<'a> {
    plain: &'a [u8],
    items: Vec<Item>,
    wrappers: Vec<Wrapper>,
    own: Vec<Range<u32>>,
}

impl Reader<'_> {
    /// Reads what lies below one message, which `wrapper` is, or a piece of it.
    fn below(&mut self, level: Level, at: Range<usize>, wrapper: u32, depth: u32) -> Result<(), WireError> {
        let level = level.settle(&self.plain[at.clone()])?;
        let mut data = Vec::new();
        for field in fields(&self.plain[at.clone()]) {
            let field = field?;
            match level.part(&field) {
                Part::Item(_) => {
                    let len = field.bytes()?.len();
                    let [start, content, end] =
                        [field.start, field.end - len, field.end].map(|place| (at.start + place) as u32);
                    self.items.push(Item { start, content, end, wrapper });
                }
                Part::Below(below) => {
                    let end = at.start + field.end;
                    let content = end - field.bytes()?.len()..end;
                    match below {
                        // Pieces of a metric's data are one message: what is said in one holds for the points of all.
                        Level::Data => data.push(content),
                        _ => self.wrapper(below, field.number, &[content], wrapper, depth)?,
                    }
                }
                Part::Own | Part::Overridden => {}
            }
        }
        if let Level::Metric(number) = level
            && !data.is_empty()
        {
            self.wrapper(Level::Data, number, &data, wrapper, depth)?;
        }
        Ok(())
    }

    /// Reads a wrapper that is laid down in `pieces`; one without items leaves no trace.
    fn wrapper(
        &mut self,
        level: Level,
        number: u32,
        pieces: &[Range<usize>],
        outer: u32,
        depth: u32,
    ) -> Result<(), WireError> {
        let (items, index, first) = (self.items.len(), self.wrappers.len(), self.own.len());
        let mut bytes = 0;
        for piece in pieces {
            bytes += self.own_fields(level, piece.clone())?;
        }
        // The tag, and the longest length that a message below 4 GiB has.
        let framing = put::varint_len(u64::from(number) << 3) + 5;
        let own = first as u32..self.own.len() as u32;
        self.wrappers.push(Wrapper { outer, depth, number, own, weight: framing + bytes });
        for piece in pieces {
            self.below(level, piece.clone(), index as u32, depth + 1)?;
        }
        if self.items.len() == items {
            self.wrappers.truncate(index);
            self.own.truncate(first);
        }
        Ok(())
    }

    /// Notes where a message's own fields lie, neighbours together; answers their bytes.
    fn own_fields(&mut self, level: Level, at: Range<usize>) -> Result<usize, WireError> {
        let level = level.settle(&self.plain[at.clone()])?;
        let (first, mut bytes) = (self.own.len(), 0);
        for field in fields(&self.plain[at.clone()]) {
            let field = field?;
            if !matches!(level.part(&field), Part::Own) {
                continue;
            }
            bytes += field.end - field.start;
            let (start, end) = ((at.start + field.start) as u32, (at.start + field.end) as u32);
            match self.own[first..].last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => self.own.push(start..end),
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{count, slice};
    use proptest::prelude::*;

    fn spans(resources: &[Vec<u32>]) -> Bytes {
        let mut out = Vec::new();
        for (r, scopes) in resources.iter().enumerate() {
            put::message(&mut out, 1, |out| {
                put::message(out, 1, |out| put::bytes(out, 1, &[r as u8; 3]));
                for (s, &spans) in scopes.iter().enumerate() {
                    put::message(out, 2, |out| {
                        for span in 0..spans {
                            put::message(out, 2, |out| {
                                put::bytes(out, 5, format!("{r} {s} {span}").as_bytes());
                            });
                        }
                        put::bytes(out, 3, format!("schema {s}").as_bytes());
                    });
                }
                put::bytes(out, 99, b"unknown");
            });
        }
        put::uint(&mut out, 500, 5);
        out.into()
    }

    /// Every span's name with what lies around it.
    fn read(plain: &[u8]) -> Vec<(String, Vec<u8>, String)> {
        let mut found = Vec::new();
        crate::otlp::traces::each_span(plain, |resource, scope, span| {
            assert!(fields(resource.raw).any(|field| field.unwrap().number == 99));
            found.push((span.name.to_owned(), resource.resource.raw.to_vec(), scope.schema_url.to_owned()));
            Ok(())
        })
        .unwrap();
        found
    }

    fn pieces(plain: &Bytes) -> Pieces {
        Pieces::read(Signal::Traces, Layout::Otlp, plain.clone()).unwrap()
    }

    proptest! {
        #[test]
        fn any_selection_has_its_items_in_their_wrappers(
            resources in prop::collection::vec(prop::collection::vec(0u32..5, 0..4), 0..5),
            chosen in prop::collection::vec(any::<bool>(), 80),
            max_bytes in 1usize..400,
        ) {
            let plain = spans(&resources);
            let all = read(&plain);
            let pieces = pieces(&plain);
            prop_assert_eq!(pieces.len() as usize, all.len());
            let items: Vec<u32> = (0..pieces.len()).filter(|item| chosen[*item as usize]).collect();
            let expected: Vec<_> = items.iter().map(|item| all[*item as usize].clone()).collect();
            let request = pieces.request(&items);
            prop_assert_eq!(read(&request), expected);
            let weight = pieces.weight(&items);
            prop_assert!(weight >= request.len() && weight <= request.len() + 5 * pieces.wrappers.len());
            let (mut left, mut met) = (&items[..], 0);
            while !left.is_empty() {
                let (now, later) = left.split_at(pieces.fit(left, max_bytes));
                prop_assert!(now.len() == 1 || pieces.request(now).len() <= max_bytes);
                (left, met) = (later, met + now.len());
            }
            prop_assert_eq!(met, items.len());
        }

        #[test]
        fn outside_bytes_are_read_or_refused_as_when_counted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (signal, layout) in [
                (Signal::Traces, Layout::Otlp),
                (Signal::Metrics, Layout::Otlp),
                (Signal::Logs, Layout::Otlp),
                (Signal::Metrics, Layout::RemoteWrite),
            ] {
                let counted = count(signal, layout, &bytes).map(|counts| counts.total());
                let read = Pieces::read(signal, layout, bytes.clone().into()).map(|pieces| pieces.len());
                prop_assert_eq!(read, counted);
            }
        }
    }

    #[test]
    fn the_order_asked_for_is_the_order_given() {
        let plain = spans(&[vec![2, 1], vec![1]]);
        let names = |items: &[u32]| -> Vec<String> {
            read(&pieces(&plain).request(items)).into_iter().map(|(name, ..)| name).collect()
        };
        assert_eq!(names(&[3, 0, 2, 1]), ["1 0 0", "0 0 0", "0 1 0", "0 0 1"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn an_item_is_its_messages_bytes() {
        let plain = spans(&[vec![2]]);
        let pieces = pieces(&plain);
        assert_eq!(pieces.item(1), [&[0x2a, 5][..], b"0 0 1"].concat());
    }

    #[test]
    fn wrappers_without_items_cost_nothing() {
        let plain: Bytes = [0x0a, 0x02, 0x12, 0x00].repeat(1 << 16).into();
        let pieces = pieces(&plain);
        assert_eq!((pieces.len(), pieces.wrappers.len(), pieces.own.len()), (0, 0, 0));
    }

    #[test]
    fn what_one_piece_of_a_metrics_data_says_holds_for_the_points_of_the_others() {
        let mut plain = Vec::new();
        let point = |out: &mut Vec<u8>, time| put::message(out, 1, |out| put::fixed64(out, 3, time));
        put::message(&mut plain, 1, |out| {
            put::message(out, 2, |out| {
                put::message(out, 2, |out| {
                    put::bytes(out, 1, b"requests");
                    put::message(out, 5, |out| point(out, 9));
                    put::message(out, 7, |out| {
                        put::uint(out, 2, 2);
                        put::uint(out, 3, 1);
                        point(out, 1);
                    });
                    put::message(out, 7, |out| point(out, 2));
                });
            });
        });
        let pieces = Pieces::read(Signal::Metrics, Layout::Otlp, plain.into()).unwrap();
        assert_eq!(pieces.len(), 2, "a gauge that a sum overrides has no points");
        let mut met = Vec::new();
        crate::otlp::metrics::each_point(&pieces.request(&[1]), |_, _, metric, point| {
            met.push((metric.name.to_owned(), metric.kind, point.time()));
            Ok(())
        })
        .unwrap();
        let kind = crate::otlp::metrics::MetricKind::Sum { temporality: 2, monotonic: true };
        assert_eq!(met, [("requests".to_owned(), kind, 2)]);
    }

    #[test]
    fn remote_write_is_taken_apart_by_series() {
        let mut plain = Vec::new();
        for series in 0..3u8 {
            put::message(&mut plain, 1, |out| {
                put::message(out, 1, |out| put::bytes(out, 1, &[b'a' + series]));
                for time in 0..2 {
                    put::message(out, 2, |out| put::uint(out, 2, time));
                }
            });
        }
        put::message(&mut plain, 3, |out| put::bytes(out, 2, b"up"));
        let (signal, layout) = (Signal::Metrics, Layout::RemoteWrite);
        let pieces = Pieces::read(signal, layout, plain.clone().into()).unwrap();
        let all: Vec<u32> = (0..7).collect();
        let fields: Vec<Option<u32>> = all.iter().map(|item| pieces.field(*item)).collect();
        assert_eq!(fields, [[Some(2); 6].as_slice(), &[None]].concat());
        assert_eq!(pieces.request(&all), plain);
        for from in 0..7 {
            let range = from as u32..7;
            assert_eq!(pieces.request(&all[from..]), slice(signal, layout, &plain, range).unwrap());
        }
    }
}
