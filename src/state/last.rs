//! A list of which only the last elements are read.

use std::{collections::VecDeque, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

/// The last `N` elements of a list. A longer list in a file takes no more memory.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Last<T, const N: usize>(VecDeque<T>);

impl<T, const N: usize> Last<T, N> {
    fn push(&mut self, value: T) {
        if self.0.len() == N {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }
}

impl<T, const N: usize> FromIterator<T> for Last<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut last = Self(VecDeque::new());
        values.into_iter().for_each(|value| last.push(value));
        last
    }
}

impl<T, const N: usize> Default for Last<T, N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const N: usize> IntoIterator for Last<T, N> {
    type Item = T;
    type IntoIter = std::collections::vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Last<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LastVisitor(PhantomData))
    }
}

struct LastVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for LastVisitor<T, N> {
    type Value = Last<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut last = Last(VecDeque::new());
        while let Some(value) = list.next_element()? {
            last.push(value);
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_elements_are_kept() {
        let last: Last<u32, 3> = serde_json::from_str("[1,2,3,4,5]").unwrap();
        assert_eq!(last, [3, 4, 5].into_iter().collect());
        assert_eq!(serde_json::to_string(&last).unwrap(), "[3,4,5]");
        assert_eq!((1..=9).collect::<Last<_, 3>>().into_iter().collect::<Vec<_>>(), [7, 8, 9]);
        assert!(serde_json::from_str::<Last<u32, 3>>("[1,2,3,4,\"x\"]").is_err());
    }
}
