//! Where the full chunks of a long list hang.
//!
//! A chain in which each chunk owns the next is easy to walk and cannot be added to at
//! its end in constant time without a second pointer to the last chunk, which safe
//! Rust does not have. One array of pointers to the chunks would itself become a
//! large allocation. So the chunks are the leaves of a tree, whose branches are chunks
//! too: of chunks.
//!
//! - All leaves are at the same depth, and fill up from the left.
//! - A branch holds 128 children, so two levels suffice for 4 million ranges.

use alloc::vec::Vec;

use crate::ListError;
use crate::chain::{chunk, per_chunk};

/// Chunks in order, each reached by its number.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    root: Vec<Node<T>>,
    /// Levels of branches below the root.
    height: u32,
    len: usize,
}

#[derive(Debug)]
enum Node<T> {
    Leaf(Vec<T>),
    Branch(Vec<Node<T>>),
}

impl<T> Directory<T> {
    const FANOUT: usize = per_chunk::<Node<T>>();

    pub(crate) const fn new() -> Self {
        Self {
            root: Vec::new(),
            height: 0,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, number: usize) -> Option<&[T]> {
        let mut children = &self.root;
        let mut height = self.height;
        loop {
            match children.get(Self::step(number, height))? {
                Node::Leaf(chunk) => return Some(chunk),
                Node::Branch(below) => children = below,
            }
            height = height.checked_sub(1)?;
        }
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut [T]> {
        let mut children = &mut self.root;
        let mut height = self.height;
        loop {
            match children.get_mut(Self::step(number, height))? {
                Node::Leaf(chunk) => return Some(chunk),
                Node::Branch(below) => children = below,
            }
            height = height.checked_sub(1)?;
        }
    }

    /// Adds a chunk at the end. It comes back if there is no memory for a branch.
    pub(crate) fn push(&mut self, leaf: Vec<T>) -> Result<(), (ListError, Vec<T>)> {
        if self.len == Self::FANOUT.pow(self.height + 1) {
            match chunk() {
                Ok(root) => {
                    let below = core::mem::replace(&mut self.root, root);
                    self.root.push(Node::Branch(below));
                    self.height += 1;
                }
                Err(error) => return Err((error, leaf)),
            }
        }
        Self::insert(&mut self.root, self.height, self.len, leaf)?;
        self.len += 1;
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Which child leads to chunk `number`, in a branch with `height` levels below it.
    fn step(number: usize, height: u32) -> usize {
        number / Self::FANOUT.pow(height) % Self::FANOUT
    }

    /// Hangs chunk `number` below `children`, which lead to all chunks before it.
    /// Either the whole new branch is there in the end, or nothing has changed.
    fn insert(
        children: &mut Vec<Node<T>>,
        height: u32,
        number: usize,
        leaf: Vec<T>,
    ) -> Result<(), (ListError, Vec<T>)> {
        if children.capacity() == 0 {
            match chunk() {
                Ok(room) => *children = room,
                Err(error) => return Err((error, leaf)),
            }
        }
        let Some(height) = height.checked_sub(1) else {
            children.push(Node::Leaf(leaf));
            return Ok(());
        };
        if let Some(Node::Branch(below)) = children.get_mut(Self::step(number, height + 1)) {
            return Self::insert(below, height, number, leaf);
        }
        let mut below = Vec::new();
        Self::insert(&mut below, height, number, leaf)?;
        children.push(Node::Branch(below));
        Ok(())
    }
}
