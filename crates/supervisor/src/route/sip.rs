//! SipHash-1-3 with keys 0, 0.
//!
//! J.-P. Aumasson, D. J. Bernstein: SipHash, a fast short-input PRF (INDOCRYPT 2012), with one round
//! per word and three at the end. With fixed keys it resists nobody who chooses keys on purpose; it is
//! here because it spreads short and structured keys well and is easy to state.

use std::hash::Hasher;

/// The state between two writes.
#[derive(Clone, Debug)]
pub(super) struct Sip13 {
    v: [u64; 4],
    /// Bytes that do not fill a word yet, the first one lowest.
    tail: u64,
    /// How many they are, below 8.
    tail_len: u32,
    /// Bytes written; the lowest 8 bits count.
    len: u64,
}

impl Sip13 {
    pub(super) fn new() -> Self {
        let v = [
            0x736f_6d65_7073_6575,
            0x646f_7261_6e64_6f6d,
            0x6c79_6765_6e65_7261,
            0x7465_6462_7974_6573,
        ];
        Sip13 { v, tail: 0, tail_len: 0, len: 0 }
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        round(&mut self.v);
        self.v[0] ^= word;
    }
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

impl Hasher for Sip13 {
    fn write(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        for byte in bytes {
            self.tail |= u64::from(*byte) << (8 * self.tail_len);
            self.tail_len += 1;
            if self.tail_len == 8 {
                let word = std::mem::take(&mut self.tail);
                self.tail_len = 0;
                self.word(word);
            }
        }
    }

    fn finish(&self) -> u64 {
        let mut end = self.clone();
        end.word(self.tail | self.len << 56);
        end.v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut end.v);
        }
        end.v[0] ^ end.v[1] ^ end.v[2] ^ end.v[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut sip = Sip13::new();
        sip.write(bytes);
        sip.finish()
    }

    /// Taken from the standard library's implementation (rustc 1.95), which does not promise to stay.
    #[test]
    fn values_are_those_of_another_implementation() {
        assert_eq!(of(b""), 0xd1fb_a762_150c_532c);
        assert_eq!(of(b"a"), 0x4074_48d2_b89b_1813);
        assert_eq!(of(b"1234567"), 0xa33d_6515_94fd_ae81);
        assert_eq!(of(b"12345678"), 0x3489_9824_3056_0a87);
        assert_eq!(of(b"the quick brown fox jumps over the lazy dog"), 0x80a6_5583_f613_da2d);
    }

    #[test]
    fn the_cuts_between_writes_do_not_matter() {
        let mut sip = Sip13::new();
        for part in [&b"123"[..], b"", b"4567890", b"abcdefghijklmnop", b"q"] {
            sip.write(part);
        }
        assert_eq!(sip.finish(), of(b"1234567890abcdefghijklmnopq"));
    }
}
