//! Where the wheel's entries live: chunks of nodes, found by index, guarded by generations.
//!
//! A `Vec` of nodes would copy all of them when it grows, under the wheel's lock, and could never
//! shrink while its last node is in use. Chunks of 256 nodes do neither.
//!
//! # States of a node
//!
//! ```text
//! Vacant --insert--> Occupied --remove--> Vacant, generation + 1
//!                                    \--> Spent   (generation used up: never occupied again)
//! ```
//!
//! # Keys
//!
//! A key is an index and the generation its node had when it was occupied. A generation is used for
//! one life only: nodes whose 32 bits are used up are left out of the free list for good, and a
//! chunk that was given back remembers the highest generation of its nodes and starts there when it
//! returns.
//!
//! # When memory is given back
//!
//! When the last entry of a chunk leaves, the chunk's nodes (14 KiB) are freed at once, unless it
//! is the only empty chunk: one is kept, so that a wheel that moves around a multiple of 256
//! entries does not allocate each time. What remains of a burst is the chunk's 40 bytes in the
//! directory, a sixth of a byte per entry. A single entry that stays keeps its chunk; new entries
//! go to the chunk that got room last, so that thinly filled ones are left to run empty.

use std::num::NonZeroU32;

use whitebeam_sync::prefetch;

use super::Entry;
use super::level::Place;

/// No node, no chunk: the end of a list.
const NONE: u32 = u32::MAX;

/// Nodes in a chunk: 14 KiB, small enough for a runtime with ten timers, large enough that a
/// million of them cost 4,000 allocations.
const CHUNK: u32 = 256;

/// A node with this generation is never occupied again.
const SPENT: u32 = u32::MAX;

/// Names one insertion; eight bytes, and so is `Option<Key>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    index: u32,
    generation: NonZeroU32,
}

/// One entry and where it is. Fields that the levels own are open to the modules beside.
pub(super) struct Node {
    /// When the entry is due, in nanoseconds.
    pub(super) deadline: u64,
    /// Number of the insertion, which orders entries with equal deadlines.
    pub(super) sequence: u64,
    /// The payload; `None` while the node is vacant or spent.
    entry: Option<Entry>,
    /// Its position in the list of its slot; while vacant the next node of the free list.
    pub(super) position: u32,
    /// The life it is in, or while vacant the next one. Never 0, so that a key has a niche.
    generation: u32,
    /// The slot whose list it is in.
    pub(super) place: Place,
}

const _: () = assert!(size_of::<Node>() == 56, "56 bytes per pending timer");
const _: () = assert!(size_of::<Option<Key>>() == 8);

/// A run of nodes with consecutive indices, or the memory of one that was given back.
struct Chunk {
    /// The nodes; an empty slice while the memory is given back.
    nodes: Box<[Node]>,
    /// First vacant node (global index), or [`NONE`].
    free: u32,
    /// Occupied nodes.
    live: u16,
    /// The generation its nodes start with when it gets memory.
    floor: u32,
    /// Neighbours in the list of chunks with room; `next` alone while its memory is given back.
    prev: u32,
    next: u32,
}

/// All entries of a wheel.
pub(super) struct Entries {
    chunks: Vec<Chunk>,
    /// Chunks that have memory and a vacant node: the first of a doubly linked list.
    room: u32,
    /// Chunks whose memory was given back and that may be used again: a stack.
    returned: u32,
    /// The one empty chunk that keeps its memory, or [`NONE`]. It is in the list of room.
    spare: u32,
    len: usize,
    /// Insertions so far.
    sequence: u64,
}

impl Entries {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), room: NONE, returned: NONE, spare: NONE, len: 0, sequence: 0 }
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a vacant node for the entry. The caller gives it its place.
    ///
    /// # Panics
    ///
    /// With 2^32 - 256 entries held (240 GiB of them).
    pub(super) fn insert(&mut self, deadline: u64, entry: Entry) -> (u32, Key) {
        let chunk_at = if self.room == NONE { self.grow() } else { self.room };
        let chunk = &mut self.chunks[chunk_at as usize];
        let index = chunk.free;
        let node = &mut chunk.nodes[(index % CHUNK) as usize];
        chunk.free = node.position;
        chunk.live += 1;
        node.deadline = deadline;
        node.sequence = self.sequence;
        node.entry = Some(entry);
        let generation = NonZeroU32::new(node.generation).unwrap_or(NonZeroU32::MIN);
        let full = chunk.free == NONE;
        if full {
            self.leave_room(chunk_at);
        }
        if self.spare == chunk_at {
            self.spare = NONE;
        }
        self.len += 1;
        self.sequence += 1;
        (index, Key { index, generation })
    }

    /// The index of the entry a key names, if it is still held.
    pub(super) fn find(&self, key: Key) -> Option<u32> {
        let chunk = self.chunks.get((key.index / CHUNK) as usize)?;
        let node = chunk.nodes.get((key.index % CHUNK) as usize)?;
        (node.generation == key.generation.get() && node.entry.is_some()).then_some(key.index)
    }

    /// The node at an index that a slot holds.
    pub(super) fn node(&self, index: u32) -> &Node {
        &self.chunks[(index / CHUNK) as usize].nodes[(index % CHUNK) as usize]
    }

    /// Asks for a node that will be looked at soon.
    pub(super) fn prefetch(&self, index: u32) {
        prefetch(self.node(index));
    }

    /// See [`Entries::node`].
    pub(super) fn node_mut(&mut self, index: u32) -> &mut Node {
        &mut self.chunks[(index / CHUNK) as usize].nodes[(index % CHUNK) as usize]
    }

    /// Vacates a node that no slot holds any more. `None` if it was vacant.
    pub(super) fn remove(&mut self, index: u32) -> Option<(u64, Entry)> {
        let chunk_at = index / CHUNK;
        let chunk = &mut self.chunks[chunk_at as usize];
        let node = &mut chunk.nodes[(index % CHUNK) as usize];
        let entry = node.entry.take()?;
        let deadline = node.deadline;
        node.generation += 1;
        let had_room = chunk.free != NONE;
        if node.generation != SPENT {
            node.position = chunk.free;
            chunk.free = index;
        }
        chunk.live -= 1;
        let has_room = chunk.free != NONE;
        let empty = chunk.live == 0;
        self.len -= 1;
        if has_room && !had_room {
            self.enter_room(chunk_at);
        }
        if empty {
            self.emptied(chunk_at, has_room);
        }
        Some((deadline, entry))
    }

    /// Keeps an empty chunk as the spare, or gives its memory back.
    #[cold]
    fn emptied(&mut self, chunk_at: u32, has_room: bool) {
        if has_room && self.spare == NONE {
            self.spare = chunk_at;
            return;
        }
        if has_room {
            self.leave_room(chunk_at);
        }
        let chunk = &mut self.chunks[chunk_at as usize];
        chunk.floor = chunk.nodes.iter().map(|node| node.generation).max().unwrap_or(chunk.floor);
        chunk.nodes = Box::default();
        chunk.free = NONE;
        if chunk.floor != SPENT {
            chunk.next = self.returned;
            self.returned = chunk_at;
        }
    }

    /// Gives memory to a chunk, one that was given back if there is any, and enters it into the
    /// list of room.
    #[cold]
    fn grow(&mut self) -> u32 {
        let chunk_at = if self.returned == NONE { self.add_chunk() } else { self.returned };
        let first = chunk_at * CHUNK;
        let chunk = &mut self.chunks[chunk_at as usize];
        if self.returned == chunk_at {
            self.returned = chunk.next;
        }
        let floor = chunk.floor;
        chunk.nodes = (first..first + CHUNK)
            .map(|index| Node {
                deadline: 0,
                sequence: 0,
                entry: None,
                position: if index + 1 == first + CHUNK { NONE } else { index + 1 },
                generation: floor,
                place: Place::default(),
            })
            .collect();
        chunk.free = first;
        self.enter_room(chunk_at);
        chunk_at
    }

    fn add_chunk(&mut self) -> u32 {
        // The last chunk's indices are left out: NONE is among them.
        assert!(self.chunks.len() < (NONE / CHUNK) as usize, "too many pending timers");
        let chunk_at = self.chunks.len() as u32;
        self.chunks.push(Chunk {
            nodes: Box::default(),
            free: NONE,
            live: 0,
            floor: 1,
            prev: NONE,
            next: NONE,
        });
        chunk_at
    }

    fn enter_room(&mut self, chunk_at: u32) {
        let next = self.room;
        let chunk = &mut self.chunks[chunk_at as usize];
        (chunk.prev, chunk.next) = (NONE, next);
        if next != NONE {
            self.chunks[next as usize].prev = chunk_at;
        }
        self.room = chunk_at;
    }

    fn leave_room(&mut self, chunk_at: u32) {
        let Chunk { prev, next, .. } = self.chunks[chunk_at as usize];
        if prev == NONE {
            self.room = next;
        } else {
            self.chunks[prev as usize].next = next;
        }
        if next != NONE {
            self.chunks[next as usize].prev = prev;
        }
    }
}

#[cfg(test)]
impl Entries {
    /// Entries whose chunks start at this generation.
    pub(super) fn starting_at(generation: u32) -> Self {
        let mut entries = Self::new();
        let chunk_at = entries.add_chunk();
        entries.chunks[chunk_at as usize].floor = generation;
        entries.returned = chunk_at;
        entries
    }

    /// Chunks that hold memory now.
    pub(super) fn resident_chunks(&self) -> usize {
        self.chunks.iter().filter(|chunk| !chunk.nodes.is_empty()).count()
    }

    /// Panics unless counts, free lists and the list of room agree with the nodes.
    pub(super) fn check(&self) {
        let mut live = 0;
        for (chunk_at, chunk) in self.chunks.iter().enumerate() {
            let occupied = chunk.nodes.iter().filter(|node| node.entry.is_some()).count();
            assert_eq!(occupied, chunk.live as usize, "chunk {chunk_at}");
            live += occupied;
            let (mut free, mut at) = (0, chunk.free);
            while at != NONE {
                assert_eq!(at / CHUNK, chunk_at as u32);
                assert!(self.node(at).entry.is_none());
                at = self.node(at).position;
                free += 1;
            }
            let spent = chunk.nodes.iter().filter(|node| node.generation == SPENT).count();
            assert_eq!(free + occupied + spent, chunk.nodes.len(), "chunk {chunk_at}");
        }
        assert_eq!(live, self.len);
        let (mut listed, mut at) = (0, self.room);
        while at != NONE {
            assert_ne!(self.chunks[at as usize].free, NONE);
            at = self.chunks[at as usize].next;
            listed += 1;
        }
        assert_eq!(listed, self.chunks.iter().filter(|chunk| chunk.free != NONE).count());
        let empty = self.chunks.iter().filter(|c| c.live == 0 && !c.nodes.is_empty()).count();
        assert!(empty <= 1, "{empty} empty chunks keep their memory");
    }
}
