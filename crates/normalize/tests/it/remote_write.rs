use bytes::Bytes;
use model::{ContentHash, Layout, Origin, Refusal, RefusalKind, Source, Tenant};
use tidegate_normalize::{Input, Message, Normalized, WireInput, normalize};
use wire::coding::{Ceiling, compress, inflate};
use wire::{Coding, put};

use super::NOW;

fn submit(message: Message, plain: Vec<u8>) -> Result<Normalized, Refusal> {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("prometheus").unwrap() };
    let body = Bytes::from(compress(Coding::Snappy, 0, &plain));
    normalize(
        Input::Wire(WireInput { origin, message, coding: Coding::Snappy, body, plain: plain.into() }),
        NOW,
    )
}

fn series(labels: &[(&str, &str)], samples: u64) -> Vec<u8> {
    let mut request = Vec::new();
    put::message(&mut request, 1, |out| {
        for (name, value) in labels {
            put::message(out, 1, |out| {
                put::bytes(out, 1, name.as_bytes());
                put::bytes(out, 2, value.as_bytes());
            });
        }
        for at in 0..samples {
            put::message(out, 2, |out| {
                put::fixed64(out, 1, 1.5f64.to_bits());
                put::uint(out, 2, 1_772_438_400_000 + at);
            });
        }
    });
    request
}

#[test]
fn a_clean_request_keeps_its_snappy_block() {
    let plain = series(&[("__name__", "up"), ("job", "api")], 3);
    let done = submit(Message::RemoteWrite1, plain.clone()).unwrap();
    let batch = done.batch.unwrap();
    assert_eq!((done.accepted.samples, batch.items, batch.layout), (3, 3, Layout::RemoteWrite));
    assert_eq!((batch.coding, &batch.body[..]), (Coding::Snappy, &compress(Coding::Snappy, 0, &plain)[..]));
    assert_eq!(batch.content_hash, ContentHash::of(&batch.origin, &plain));
}

#[test]
fn a_series_that_breaks_a_rule_is_left_out_and_the_rest_is_kept() {
    let good = series(&[("__name__", "up"), ("job", "api")], 2);
    let plain = [series(&[("job", "api")], 2), good.clone()].concat();
    let done = submit(Message::RemoteWrite1, plain.clone()).unwrap();
    let batch = done.batch.unwrap();
    assert_eq!((done.accepted.samples, done.rejected.len()), (2, 1));
    assert_eq!((done.rejected[0].index, done.rejected[0].reason), (0, "metric_name"));
    assert_eq!(inflate(batch.coding, &batch.body, Ceiling::bytes(1 << 20)).unwrap(), good);
    assert_eq!(batch.plain_len as usize, good.len());
    assert_eq!(
        batch.content_hash,
        ContentHash::of(&batch.origin, &plain),
        "over what was sent, not what was kept"
    );
}

#[test]
fn a_request_of_2_0_becomes_1_0_in_a_snappy_block() {
    let mut plain = Vec::new();
    for symbol in ["", "__name__", "up"] {
        put::bytes(&mut plain, 4, symbol.as_bytes());
    }
    put::message(&mut plain, 5, |out| {
        put::bytes(out, 1, &[1, 2]);
        put::message(out, 2, |out| {
            put::fixed64(out, 1, 1.5f64.to_bits());
            put::uint(out, 2, 1_772_438_400_000);
        });
    });
    let done = submit(Message::RemoteWrite2, plain.clone()).unwrap();
    let batch = done.batch.unwrap();
    assert_eq!((done.accepted.samples, batch.coding), (1, Coding::Snappy));
    let made = inflate(batch.coding, &batch.body, Ceiling::bytes(1 << 20)).unwrap();
    assert_eq!(made.len(), batch.plain_len as usize);
    let again = submit(Message::RemoteWrite1, made).unwrap();
    assert_eq!(again.accepted.samples, 1);
    let refusal = submit(Message::RemoteWrite1, plain).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Malformed, "2.0 bytes declared as 1.0");
    assert!(refusal.message.contains("no series and no metadata"), "{refusal}");
}

#[test]
fn nothing_is_no_batch_and_no_refusal_but_garbage_is() {
    for message in [Message::RemoteWrite1, Message::RemoteWrite2] {
        let done = submit(message, vec![]).unwrap();
        assert!(done.batch.is_none() && done.rejected.is_empty());
        for garbage in [vec![0xff; 20], vec![0x0a, 5, 1], vec![0x78, 1]] {
            let refusal = submit(message, garbage).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Malformed, "{refusal}");
        }
    }
    let done = submit(Message::RemoteWrite1, series(&[("__name__", "up")], 0)).unwrap();
    assert!(done.batch.is_none(), "a series without points holds nothing to keep");
}
