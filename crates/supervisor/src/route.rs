//! From a key to a partition: the same one in every thread, process and version of a program.
//!
//! A key that hashes as one integer goes to `|k| mod n`, as in Elixir: an integer, a newtype of one,
//! a `bool`, a `char`, an enum without fields (its discriminant). Any other key goes to its
//! SipHash-1-3 (keys 0, 0) mod n. Integers are hashed as little-endian bytes, `usize` and `isize`
//! widened to 64 bits, so that machines agree. What a key writes to its hasher is up to its type:
//! the standard library's do not promise to keep it from one release to the next.
//!
//! Not `ahash` or the standard library's hasher: the values of theirs may change.

mod sip;

use std::hash::{Hash, Hasher};

use self::sip::Sip13;

/// The place of `key` among `places`, which is not 0.
pub(crate) fn place<K: Hash + ?Sized>(key: &K, places: usize) -> usize {
    let mut router = Router { seen: Seen::Nothing };
    key.hash(&mut router);
    let place = match router.seen {
        Seen::Lone(Lone { magnitude, .. }) => match u64::try_from(magnitude) {
            Ok(magnitude) => magnitude % places as u64,
            // Below `places`, which is a `usize`.
            Err(_) => (magnitude % places as u128) as u64,
        },
        seen => seen.hashed().finish() % places as u64,
    };
    place as usize
}

/// A hasher that keeps the value of a lone integer.
struct Router {
    seen: Seen,
}

enum Seen {
    Nothing,
    /// One integer so far.
    Lone(Lone),
    Hashed(Sip13),
}

#[derive(Clone, Copy)]
struct Lone {
    magnitude: u128,
    /// As it was written, should something follow.
    bytes: [u8; 16],
    len: usize,
}

impl Seen {
    fn hashed(self) -> Sip13 {
        match self {
            Seen::Nothing => Sip13::new(),
            Seen::Lone(lone) => {
                let mut sip = Sip13::new();
                sip.write(&lone.bytes[..lone.len]);
                sip
            }
            Seen::Hashed(sip) => sip,
        }
    }
}

impl Router {
    fn integer<const N: usize>(&mut self, magnitude: u128, little_endian: [u8; N]) {
        if let Seen::Nothing = self.seen {
            let mut bytes = [0; 16];
            bytes[..N].copy_from_slice(&little_endian);
            self.seen = Seen::Lone(Lone { magnitude, bytes, len: N });
        } else {
            self.write(&little_endian);
        }
    }
}

impl Hasher for Router {
    fn write(&mut self, bytes: &[u8]) {
        let mut sip = std::mem::replace(&mut self.seen, Seen::Nothing).hashed();
        sip.write(bytes);
        self.seen = Seen::Hashed(sip);
    }

    /// For keys that hash another hasher's value; a place is not made from this.
    fn finish(&self) -> u64 {
        match &self.seen {
            Seen::Nothing => Sip13::new().finish(),
            Seen::Lone(lone) => Seen::Lone(*lone).hashed().finish(),
            Seen::Hashed(sip) => sip.finish(),
        }
    }

    fn write_u8(&mut self, k: u8) {
        self.integer(k.into(), k.to_le_bytes());
    }
    fn write_u16(&mut self, k: u16) {
        self.integer(k.into(), k.to_le_bytes());
    }
    fn write_u32(&mut self, k: u32) {
        self.integer(k.into(), k.to_le_bytes());
    }
    fn write_u64(&mut self, k: u64) {
        self.integer(k.into(), k.to_le_bytes());
    }
    fn write_u128(&mut self, k: u128) {
        self.integer(k, k.to_le_bytes());
    }
    fn write_usize(&mut self, k: usize) {
        self.write_u64(k as u64);
    }
    fn write_i8(&mut self, k: i8) {
        self.integer(k.unsigned_abs().into(), k.to_le_bytes());
    }
    fn write_i16(&mut self, k: i16) {
        self.integer(k.unsigned_abs().into(), k.to_le_bytes());
    }
    fn write_i32(&mut self, k: i32) {
        self.integer(k.unsigned_abs().into(), k.to_le_bytes());
    }
    fn write_i64(&mut self, k: i64) {
        self.integer(k.unsigned_abs().into(), k.to_le_bytes());
    }
    fn write_i128(&mut self, k: i128) {
        self.integer(k.unsigned_abs(), k.to_le_bytes());
    }
    fn write_isize(&mut self, k: isize) {
        self.write_i64(k as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Hash)]
    struct Id(u64);
    #[derive(Hash)]
    struct Pair(u32, u32);
    #[derive(Hash)]
    enum Colour {
        Red,
        Green,
        Blue,
    }

    #[test]
    fn a_lone_integer_goes_to_its_magnitude_mod_n() {
        let places: Vec<usize> = [0, 1, 2, 3, -1].iter().map(|k: &i32| place(k, 3)).collect();
        assert_eq!(places, [0, 1, 2, 0, 1]);
        assert_eq!((place(&7_i8, 4), place(&-7_i128, 4)), (3, 3));
        assert_eq!(place(&i64::MIN, 10), 8, "2^63 ends in 8");
        assert_eq!(place(&i128::MIN, 10), 8, "2^127 ends in 8");
        assert_eq!(place(&u128::MAX, 10), 5, "2^128 - 1 ends in 5");
        assert_eq!(place(&u64::MAX, 10), 5);
        assert_eq!(place(&i8::MIN, 100), 28);
    }

    #[test]
    fn every_width_and_every_newtype_routes_as_its_value() {
        for n in [1, 2, 3, 7, 64, 1000] {
            let expected = 201 % n;
            assert_eq!(place(&201_u8, n), expected);
            assert_eq!(place(&201_u16, n), expected);
            assert_eq!(place(&201_u32, n), expected);
            assert_eq!(place(&201_usize, n), expected);
            assert_eq!(place(&-201_isize, n), expected);
            assert_eq!(place(&Id(201), n), expected);
            assert_eq!(place(&&201_i16, n), expected);
            assert_eq!(place(&(201_u64,), n), expected);
        }
        let colours = [Colour::Red, Colour::Green, Colour::Blue].map(|colour| place(&colour, 2));
        assert_eq!(colours, [0, 1, 0]);
    }

    #[test]
    fn text_routes_the_same_however_it_is_held() {
        assert_eq!(place("shape-1", 1000), place(&"shape-1".to_owned(), 1000));
        assert_eq!(place("shape-1", 1000), place(&&"shape-1", 1000));
    }

    /// Golden values: a change of them sends running systems' keys elsewhere.
    #[test]
    fn places_of_hashed_keys_are_fixed() {
        let n = 1_000_003;
        assert_eq!(place("", n), 399_495);
        assert_eq!(place("shape-1", n), 592_583);
        assert_eq!(place("whitebeam", n), 631_031);
        assert_eq!(place(&Pair(1, 2), n), 503_059);
        assert_eq!(place(&(7_usize, -7_isize), n), 735_639);
        assert_eq!(place(&("a", 1_u8), n), 963_140);
        assert_eq!(place(&vec![1_u16, 2, 3], n), 405_684);
        assert_eq!(place(&Some(5_u32), n), 531_054);
        assert_eq!(place(&(), n), 15_225);
    }

    #[test]
    fn hashed_keys_spread_evenly() {
        let mut of_text = [0_u32; 8];
        let mut of_pairs = [0_u32; 8];
        for k in 0..8_000_u32 {
            of_text[place(&format!("client-{k}"), 8)] += 1;
            of_pairs[place(&Pair(k * 64, k * 64), 8)] += 1;
        }
        for count in of_text.into_iter().chain(of_pairs) {
            assert!((850..1150).contains(&count), "{of_text:?} {of_pairs:?}");
        }
    }
}
