// SPDX-License-Identifier: MIT
//! libhakmem as the allocator of a Rust program:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: hakmem::Hakmem = hakmem::Hakmem;
//!
//! fn main() {
//!     println!("{}", hakmem::usable_size(&vec![0u8; 100][..]) >= 100);
//! }
//! ```
//!
//! C libraries in the same program have libhakmem's malloc as well.  Settings are in the variable `HAKMEM_TUNE`, see
//! hakmem_tune(3).

use std::alloc::{GlobalAlloc, Layout};
use std::os::raw::{c_int, c_void};

extern "C" {
    fn hakmem_malloc(size: usize) -> *mut c_void;
    fn hakmem_calloc(count: usize, size: usize) -> *mut c_void;
    fn hakmem_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn hakmem_aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn hakmem_free(block: *mut c_void);
    fn hakmem_malloc_usable_size(block: *mut c_void) -> usize;
    fn hakmem_malloc_trim(pad: usize) -> c_int;
}

/// What every block of libhakmem's is aligned to; a layout that asks for more needs a call of its own.
const ALIGN: usize = 16;

/// The allocator.  It has no state: all is the library's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hakmem;

unsafe impl GlobalAlloc for Hakmem {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGN {
            hakmem_malloc(layout.size()) as *mut u8
        } else {
            hakmem_aligned_alloc(layout.align(), layout.size()) as *mut u8
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGN {
            hakmem_calloc(1, layout.size()) as *mut u8
        } else {
            let block = hakmem_aligned_alloc(layout.align(), layout.size()) as *mut u8;
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        hakmem_free(block as *mut c_void)
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGN {
            return hakmem_realloc(block as *mut c_void, size) as *mut u8;
        }
        let other = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !other.is_null() {
            other.copy_from_nonoverlapping(block, layout.size().min(size));
            self.dealloc(block, layout);
        }
        other
    }
}

/// How many bytes the block of a value on the heap has.  The value must be the whole of a block that [`Hakmem`] handed out;
/// anything else is reported as misuse, and ends the program.
pub fn usable_size<T: ?Sized>(value: &T) -> usize {
    unsafe { hakmem_malloc_usable_size(value as *const T as *mut c_void) }
}

/// Gives what is free back to the kernel; whether there was anything.
pub fn trim() -> bool {
    unsafe { hakmem_malloc_trim(0) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Hakmem = Hakmem;

    #[test]
    fn blocks_are_ours() {
        let text = "hakmem".repeat(1000);
        assert!(usable_size(text.as_str()) >= text.len());
    }

    #[test]
    fn alignments() {
        for shift in 0..16 {
            // A size that is no multiple of the alignment is right as well.
            let layout = Layout::from_size_align((3 << shift) + 1, 1 << shift).unwrap();
            unsafe {
                let block = ALLOCATOR.alloc_zeroed(layout);
                assert_eq!(block as usize % layout.align(), 0);
                assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == 0));
                block.write_bytes(7, layout.size());
                let block = ALLOCATOR.realloc(block, layout, 2 * layout.size());
                assert_eq!(block as usize % layout.align(), 0);
                assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == 7));
                ALLOCATOR.dealloc(block, Layout::from_size_align(2 * layout.size(), layout.align()).unwrap());
            }
        }
    }

    #[test]
    fn threads() {
        let threads: Vec<_> = (0..8)
            .map(|n| std::thread::spawn(move || (0..10000).map(|i| vec![n; i % 500].len()).sum::<usize>()))
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 20 * (0..500).sum::<usize>());
        }
        trim();
    }
}
