//! What was read of files and is kept, since files do not change: the things used last, of as many bytes as there is room for.

use std::collections::HashMap;

use object_store::path::Path;

/// Things by file.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    known: HashMap<Path, Thing<T>>,
    bytes: usize,
    most: usize,
    turn: u64,
}

#[derive(Debug)]
struct Thing<T> {
    thing: T,
    size: u64,
    used: u64,
    bytes: usize,
}

impl<T: Clone> Kept<T> {
    /// Room for things of `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), bytes: 0, most, turn: 0 }
    }

    /// What is known of the file, if it still has this size.
    pub(crate) fn get(&mut self, path: &Path, size: u64) -> Option<T> {
        self.turn += 1;
        // A range that is written again after a crash may replace a file of the same name.
        let kept = self.known.get_mut(path).filter(|kept| kept.size == size)?;
        kept.used = self.turn;
        Some(kept.thing.clone())
    }

    /// Keeps a thing of so many bytes; what was not used for longest makes room.
    pub(crate) fn put(&mut self, path: Path, size: u64, thing: T, bytes: usize) {
        self.turn += 1;
        if let Some(old) = self.known.insert(path, Thing { thing, size, used: self.turn, bytes }) {
            self.bytes -= old.bytes;
        }
        self.bytes += bytes;
        while self.bytes > self.most {
            let oldest = self.known.iter().min_by_key(|(_, kept)| kept.used).map(|(path, _)| path.clone());
            let Some(kept) = oldest.and_then(|path| self.known.remove(&path)) else { break };
            self.bytes -= kept.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut kept = Kept::new(10);
        let path = |name: &str| Path::from(name);
        for name in ["a", "b"] {
            kept.put(path(name), 1, name, 5);
        }
        assert_eq!(kept.get(&path("a"), 1), Some("a"));
        kept.put(path("c"), 1, "c", 5);
        assert_eq!(["a", "b", "c"].map(|name| kept.get(&path(name), 1)), [Some("a"), None, Some("c")]);
    }

    #[test]
    fn a_file_of_another_size_is_another_file() {
        let mut kept = Kept::new(10);
        kept.put(Path::from("a"), 1, "old", 5);
        assert_eq!(kept.get(&Path::from("a"), 2), None);
        kept.put(Path::from("a"), 2, "new", 5);
        assert_eq!(kept.get(&Path::from("a"), 2), Some("new"));
        kept.put(Path::from("b"), 1, "other", 5);
        assert_eq!(kept.get(&Path::from("a"), 2), Some("new"), "what is replaced takes no room");
    }
}
