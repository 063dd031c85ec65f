//! Size classes: which sizes of slots there are, and the arithmetic of slots in a region.

/// Slot sizes in bytes. Multiples of 16, which is the alignment of every slot; close together
/// where most cells lie (a header of about 104 bytes plus a small state), since a step wastes
/// memory on each of a million actors.
const SIZES: [u16; 13] = [128, 144, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024];

/// Number of classes.
pub(super) const CLASSES: usize = SIZES.len();

/// The largest size that has a class; what is larger must be boxed.
pub const MAX_SIZE: usize = SIZES[CLASSES - 1] as usize;

/// The unit of sizes and offsets in the division below.
const UNIT: u32 = 16;
/// Binary places of the reciprocal.
const PLACES: u32 = 24;

/// A size of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// The smallest class whose slots hold `size` bytes. None above [`MAX_SIZE`].
    #[inline]
    pub const fn for_size(size: usize) -> Option<Self> {
        let mut class = 0;
        while class < CLASSES {
            if size <= SIZES[class] as usize {
                return Some(Self(class as u8));
            }
            class += 1;
        }
        None
    }

    /// All classes, from the smallest.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    /// Bytes of a slot, a multiple of 16.
    #[inline]
    pub const fn size(self) -> usize {
        SIZES[self.0 as usize] as usize
    }

    /// Its place in arrays of [`CLASSES`].
    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// For [`quotient`]: the reciprocal of the size.
    pub(super) const fn reciprocal(self) -> u32 {
        (1_u32 << PLACES).div_ceil(self.size() as u32 / UNIT)
    }
}

/// `offset / size` for a multiple of the size below 2 MiB, by its reciprocal: a multiplication
/// takes a nanosecond, a division three, and each spawn needs one.
#[inline]
pub(super) fn quotient(offset: u32, reciprocal: u32) -> u32 {
    // Exact: the reciprocal is too large by less than 1 of 2^24 per unit of the size, so that the
    // result is too large by less than (2^21 / 16) * 64 / 2^24 = 1/2 of a size's unit count.
    ((u64::from(offset / UNIT) * u64::from(reciprocal)) >> PLACES) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_class_that_fits_is_chosen() {
        assert_eq!(Class::for_size(0).map(Class::size), Some(128));
        assert_eq!(Class::for_size(128).map(Class::size), Some(128));
        assert_eq!(Class::for_size(129).map(Class::size), Some(144));
        assert_eq!(Class::for_size(1024).map(Class::size), Some(1024));
        assert_eq!(Class::for_size(1025), None);
    }

    #[test]
    fn the_reciprocal_divides_every_offset_of_every_class() {
        for class in Class::all() {
            let size = class.size() as u32;
            assert_eq!(size % UNIT, 0);
            for slot in 0..(2 << 20) / size {
                assert_eq!(quotient(slot * size, class.reciprocal()), slot, "{class:?}");
            }
        }
    }
}
