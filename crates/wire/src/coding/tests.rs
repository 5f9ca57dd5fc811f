//! The laws of the codings, and their hostile inputs.

use proptest::prelude::*;

use super::*;

const CODINGS: [Coding; 5] = [Coding::Plain, Coding::Snappy, Coding::Gzip, Coding::Zstd, Coding::Deflate];
const MIB: usize = 1 << 20;

fn streamed(
    body: &[u8],
    piece: usize,
    room: usize,
    ceiling: Ceiling,
) -> (Vec<u8>, Result<Tail, InflateError>) {
    let (mut inflater, mut out) = (Inflater::new(ceiling), Vec::new());
    for mut chunk in body.chunks(piece) {
        loop {
            match inflater.push(chunk, &mut out, room) {
                Ok(taken) => chunk = &chunk[taken..],
                Err(error) => return (out, Err(error)),
            }
            if chunk.is_empty() {
                break;
            }
        }
    }
    loop {
        let before = out.len();
        if let Err(error) = inflater.push(&[], &mut out, room) {
            return (out, Err(error));
        }
        if out.len() == before {
            return (out, inflater.finish());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn there_and_back_is_the_same_bytes(plain in proptest::collection::vec(0u8..8, 0..5000), coding in 0usize..5) {
        let coding = CODINGS[coding];
        let body = compress(coding, 3, &plain);
        prop_assert_eq!(inflate(coding, &body, Ceiling::bytes(MIB)).unwrap(), plain);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_pass_the_ceiling(body in proptest::collection::vec(any::<u8>(), 0..600), ceiling in 0usize..2000) {
        for coding in CODINGS {
            if let Ok(out) = inflate(coding, &body, Ceiling::bytes(ceiling)) {
                prop_assert!(out.len() <= ceiling);
            }
        }
        let _ = streamed(&body, 7, 13, Ceiling::bytes(ceiling));
    }

    #[test]
    fn damaged_bodies_never_panic_and_never_pass_the_ceiling(
        plain in proptest::collection::vec(0u8..4, 1..3000), coding in 1usize..5, at in any::<proptest::sample::Index>(), bit in 0u8..8, cut in any::<proptest::sample::Index>(),
    ) {
        let coding = CODINGS[coding];
        let mut body = compress(coding, 6, &plain);
        let index = at.index(body.len());
        body[index] ^= 1 << bit;
        body.truncate(cut.index(body.len()) + 1);
        if let Ok(out) = inflate(coding, &body, Ceiling::bytes(2500)) {
            prop_assert!(out.len() <= 2500);
        }
    }

    #[test]
    fn a_stream_in_pieces_is_the_whole(plain in proptest::collection::vec(0u8..8, 0..9000), piece in 1usize..200, room in 1usize..3000, members in 1usize..4) {
        let mut body = Vec::new();
        for part in plain.chunks(plain.len() / members + 1) {
            body.extend(compress(Coding::Gzip, 6, part));
        }
        if plain.is_empty() {
            body = compress(Coding::Gzip, 6, &[]);
        }
        let (out, tail) = streamed(&body, piece, room, Ceiling::bytes(MIB));
        prop_assert_eq!(tail, Ok(Tail::Clean));
        prop_assert_eq!(&out, &plain);
        prop_assert_eq!(inflate(Coding::Gzip, &body, Ceiling::bytes(MIB)).unwrap(), plain);
    }

    #[test]
    fn joined_blocks_are_their_contents_laid_end_to_end(parts in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..400), 0..6)) {
        let blocks: Vec<_> = parts.iter().map(|p| compress(Coding::Snappy, 0, p)).collect();
        let joined = join_snappy(&blocks.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(inflate(Coding::Snappy, &joined, Ceiling::bytes(MIB)).unwrap(), parts.concat());
    }
}

#[test]
fn bombs_stop_at_the_ceiling_and_at_the_ratio() {
    let zeros = vec![0; 64 * MIB];
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Deflate] {
        let bomb = compress(coding, 9, &zeros);
        let got = inflate(coding, &bomb, Ceiling::bytes(MIB));
        assert_eq!(got, Err(InflateError::TooLarge { limit: MIB }), "{coding:?}");
        let got = inflate(coding, &bomb, Ceiling { bytes: 100 * MIB, ratio_after: MIB, ratio: 200 });
        assert_eq!(got, Err(InflateError::Ratio { limit: 200 }), "{coding:?}");
    }
}

#[test]
fn a_truncated_stream_is_told_from_a_corrupt_one() {
    let plain = b"some text that compresses a little, some text that compresses".repeat(50);
    let body = compress(Coding::Gzip, 6, &plain);
    for cut in [0, 1, 5, 15, body.len() / 2, body.len() - 8, body.len() - 1] {
        let got = inflate(Coding::Gzip, &body[..cut], Ceiling::bytes(MIB));
        assert_eq!(got, Err(InflateError::Truncated { coding: Coding::Gzip }), "cut at {cut}");
    }
    let mut wrong_sum = body.clone();
    let crc = body.len() - 8;
    wrong_sum[crc] ^= 1;
    let got = inflate(Coding::Gzip, &wrong_sum, Ceiling::bytes(MIB));
    assert_eq!(got, Err(InflateError::Checksum { coding: Coding::Gzip }));
    let body = compress(Coding::Zstd, 3, &plain);
    let got = inflate(Coding::Zstd, &body[..body.len() - 1], Ceiling::bytes(MIB));
    assert_eq!(got, Err(InflateError::Truncated { coding: Coding::Zstd }));
}

#[test]
fn garbage_behind_the_last_member_is_ignored_and_told() {
    let mut body = compress(Coding::Gzip, 6, b"good");
    body.extend_from_slice(b"not gzip");
    assert_eq!(streamed(&body, 3, 100, Ceiling::bytes(MIB)), (b"good".to_vec(), Ok(Tail::Garbage)));
    assert_eq!(inflate(Coding::Gzip, &body, Ceiling::bytes(MIB)).unwrap(), b"good");
}

#[test]
fn a_raw_deflate_body_is_taken_as_well_as_a_wrapped_one() {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, b"raw, without a header").unwrap();
    let raw = encoder.finish().unwrap();
    assert_eq!(inflate(Coding::Deflate, &raw, Ceiling::bytes(MIB)).unwrap(), b"raw, without a header");
}

#[test]
fn a_block_that_lies_about_its_length_is_refused_before_anything_is_allocated() {
    let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0];
    assert!(matches!(
        inflate(Coding::Snappy, &four_gib, Ceiling::bytes(32 * MIB)),
        Err(InflateError::Corrupt { .. })
    ));
    let honest = compress(Coding::Snappy, 0, &[7; 1000]);
    assert_eq!(
        inflate(Coding::Snappy, &honest, Ceiling::bytes(999)),
        Err(InflateError::TooLarge { limit: 999 })
    );
    let lie = [0x80, 0x80, 0x40, 0, b'x'];
    assert!(matches!(
        inflate(Coding::Snappy, &lie, Ceiling::bytes(32 * MIB)),
        Err(InflateError::Corrupt { .. })
    ));
    assert!(matches!(inflate(Coding::Snappy, &[], Ceiling::bytes(MIB)), Err(InflateError::Corrupt { .. })));
    let framed = [0xff, 0x06, 0x00, 0x00, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59, 0x01];
    assert_eq!(inflate(Coding::Snappy, &framed, Ceiling::bytes(MIB)), Err(InflateError::Framed));
}

#[test]
fn a_zstd_window_above_8_mib_is_refused() {
    // Magic, a frame header without a single segment, and a window descriptor of 2^30 bytes; then one empty last block.
    let body = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
    assert!(matches!(inflate(Coding::Zstd, &body, Ceiling::bytes(MIB)), Err(InflateError::Corrupt { .. })));
}

#[test]
fn equal_members_end_to_end_are_all_kept() {
    let member = compress(Coding::Gzip, 6, b"the same line\n");
    let twice = [&member[..], &member[..]].concat();
    assert_eq!(
        inflate(Coding::Gzip, &twice, Ceiling::bytes(100)).unwrap(),
        b"the same line\nthe same line\n"
    );
}

#[test]
fn a_wrong_checksum_is_told_from_broken_blocks() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let mut body = compress(coding, 6, &b"some lines, some lines, some lines\n".repeat(50));
        // The trailers: CRC-32 and length of gzip, Adler-32 of zlib.
        let at = body.len() - if coding == Coding::Gzip { 8 } else { 4 };
        body[at] ^= 1;
        assert_eq!(inflate(coding, &body, Ceiling::bytes(1 << 20)), Err(InflateError::Checksum { coding }));
    }
}

#[test]
fn members_beyond_number_are_refused() {
    let body = compress(Coding::Gzip, 1, b"").repeat(20_000);
    assert!(matches!(
        inflate(Coding::Gzip, &body, Ceiling::bytes(1 << 20)),
        Err(InflateError::Corrupt { reason: "it has more than 16384 members", .. })
    ));
}

#[test]
fn copies_from_nowhere_and_cut_literals_are_refused() {
    // Declared length 4, then: a copy at distance 0, one beyond what was made, a literal longer than the block.
    for elements in [&[0x01u8, 0x00][..], &[0x00, b'a', 0x01, 0x09], &[0x0c, b'a', b'b']] {
        let block = [&[4], elements].concat();
        assert!(matches!(
            inflate(Coding::Snappy, &block, Ceiling::bytes(100)),
            Err(InflateError::Corrupt { .. })
        ));
    }
}

#[test]
fn a_body_of_exactly_the_ceiling_is_inflated_and_one_byte_more_is_not() {
    let plain: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    for coding in [Coding::Plain, Coding::Snappy, Coding::Gzip, Coding::Zstd, Coding::Deflate] {
        let body = compress(coding, 1, &plain);
        assert_eq!(inflate(coding, &body, Ceiling::bytes(plain.len())).unwrap(), plain);
        let less = plain.len() - 1;
        assert_eq!(inflate(coding, &body, Ceiling::bytes(less)), Err(InflateError::TooLarge { limit: less }));
    }
}
